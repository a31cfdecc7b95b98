"""The certificate authority of a pool: what is in its Secret, who signs, who is trusted, and when another comes.

`issuer.py` goes by it. All that is decided here follows from the certificates and the time, so that a restart, a
second operator or a missed pass changes nothing: after two thirds of its life an authority gets a successor, which is
trusted by everybody for a while before it signs, and the old one goes when nothing is left that it signed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rlm_operator.trust.pair import BACKDATE, Pair, due_at, issued_at, sign

NEWEST: Final = ("tls.crt", "tls.key")
PREVIOUS: Final = ("previous.crt", "previous.key")


@dataclass(frozen=True)
class Lifetimes:
    """`settle`: how long a change in a Secret takes at most to reach the pods that mount it."""

    authority: timedelta = timedelta(days=365)
    certificate: timedelta = timedelta(days=30)
    settle: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class Authorities:
    """One authority, or during a rotation two."""

    newest: Pair
    previous: Pair | None = None

    @classmethod
    def read(cls, data: Mapping[str, bytes]) -> Self | None:
        """From the entries of the Secret; None when there is no usable authority in it."""
        newest = Pair.read(data, *NEWEST)
        return None if newest is None else cls(newest, Pair.read(data, *PREVIOUS))

    def entries(self) -> dict[str, bytes | None]:
        """For the Secret; None is an entry that must not be there."""
        previous = self.previous.entries(*PREVIOUS) if self.previous else dict.fromkeys(PREVIOUS)
        return {**self.newest.entries(*NEWEST), **previous}

    def bundle(self) -> bytes:
        """What both planes trust, in PEM."""
        return self.newest.certificate_pem() + (self.previous.certificate_pem() if self.previous else b"")

    def signer(self, now: datetime, settle: timedelta, *, is_distributed: bool) -> Pair:
        """The newest once everybody trusts it: `is_distributed` says that every Secret has it, `settle` that the pods
        have seen that."""
        if self.previous is None or self.previous.certificate.not_valid_after_utc <= now:
            return self.newest
        settled = is_distributed and now >= issued_at(self.newest.certificate) + settle
        return self.newest if settled else self.previous


def next_authorities(
    found: Authorities | None, name: str, organisation: str, lifetimes: Lifetimes, now: datetime
) -> Authorities:
    """The same, or with a new authority where one is due; `name` and `organisation` are its subject's."""
    if found is None or found.newest.certificate.not_valid_after_utc <= now:
        return Authorities(_issue(name, organisation, lifetimes.authority, now))
    if found.previous is not None:
        expired = found.previous.certificate.not_valid_after_utc <= now
        return Authorities(found.newest) if expired else found
    if now >= due_at(found.newest.certificate):
        return Authorities(_issue(name, organisation, lifetimes.authority, now), found.newest)
    return found


def is_superseded(found: Authorities, leaves: Iterable[x509.Certificate], settle: timedelta, now: datetime) -> bool:
    """Whether the previous authority can go: all leaves are of the newest, and the pods have seen them."""
    return found.previous is not None and all(
        found.newest.has_signed(leaf) and now >= issued_at(leaf) + settle for leaf in leaves
    )


def _issue(name: str, organisation: str, life: timedelta, now: datetime) -> Pair:
    """Its name has a random part, so that two authorities of a pool are told apart by name too."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {secrets.token_hex(4)}"),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pair(sign(builder, key), key)
