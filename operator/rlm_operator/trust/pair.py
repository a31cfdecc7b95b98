"""A certificate with its private key, as entries of a Secret hold them, and the ages of certificates.

`repr` and messages never show a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BACKDATE: Final = timedelta(minutes=5)
"""Certificates begin so long before they are made: the clock of who looks at them may be behind ours."""
_EARLIEST: Final = 0.6
_LATEST: Final = 2 / 3


@dataclass(frozen=True)
class Pair:
    """Keys are of the curve P-256."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    @classmethod
    def read(cls, data: Mapping[str, bytes], certificate: str, key: str) -> Self | None:
        """From these entries; None when they are not there, broken, or no pair."""
        try:
            found = x509.load_pem_x509_certificate(data.get(certificate, b""))
            private = serialization.load_pem_private_key(data.get(key, b""), None)
        except (ValueError, TypeError):
            return None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != found.public_key():
            return None
        return cls(found, private)

    def entries(self, certificate: str, key: str) -> dict[str, bytes | None]:
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {certificate: self.certificate_pem(), key: private}

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def has_signed(self, leaf: x509.Certificate) -> bool:
        try:
            leaf.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def issued_at(certificate: x509.Certificate) -> datetime:
    """When one of ours was made."""
    return certificate.not_valid_before_utc + BACKDATE


def due_at(certificate: x509.Certificate) -> datetime:
    """When one of ours is to be renewed: after 60 to 67 % of its life. Where within that follows from its random serial
    number, so that a thousand that were made together are not renewed together."""
    spread = (certificate.serial_number % 1000) / 1000
    part = _EARLIEST + (_LATEST - _EARLIEST) * spread
    begin = issued_at(certificate)
    return begin + (certificate.not_valid_after_utc - begin) * part


def sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """With a random serial number."""
    return builder.serial_number(x509.random_serial_number()).sign(key, hashes.SHA256())
