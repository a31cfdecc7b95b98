"""The certificates of one folder, as a `kubernetes.io/tls` Secret is mounted, and what they make: an SSL context.

Called by `runtime.tls` at the start and after every change. Everything is checked here, so that a folder in the middle
of an update is one error and never half a context.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
AUTHORITY: Final = "ca.crt"
NAMES: Final = (CERTIFICATE, KEY, AUTHORITY)


class Side(Enum):
    """Whose certificates they are. A server needs tls.crt and tls.key; with ca.crt its clients need certificates too.
    A client needs ca.crt (else it trusts the system's authorities) or tls.crt and tls.key, or all of them."""

    SERVER = ssl.PROTOCOL_TLS_SERVER
    CLIENT = ssl.PROTOCOL_TLS_CLIENT


class TlsFilesError(Exception):
    """The files do not fit; the message says which of them and why."""


@dataclass(frozen=True)
class Credentials:
    """What a folder held. `expires`: the earliest end of a certificate in tls.crt; None without that file."""

    context: ssl.SSLContext
    files: frozenset[str]
    expires: datetime | None

    @property
    def has_expired(self) -> bool:
        return self.expires is not None and self.expires <= datetime.now(UTC)


def load_credentials(folder: Path, side: Side) -> Credentials:
    """Raises TlsFilesError."""
    try:
        files = frozenset(name for name in NAMES if (folder / name).is_file())
        _require(files, side)
        context = _build_context(side, folder / AUTHORITY if AUTHORITY in files else None)
        expires = None
        if CERTIFICATE in files:
            expires = min(found.not_valid_after_utc for found in _certificates(folder / CERTIFICATE))
            _load_pair(context, folder)
    except OSError as error:
        raise TlsFilesError(f"{Path(error.filename or folder).name} cannot be read ({error.strerror})") from error
    return Credentials(context, files, expires)


def _require(files: frozenset[str], side: Side) -> None:
    pair = {CERTIFICATE, KEY}
    if side is Side.SERVER or files & pair:
        for name in sorted(pair - files):
            raise TlsFilesError(f"{name} is missing; {CERTIFICATE} and {KEY} go together")
    elif AUTHORITY not in files:
        raise TlsFilesError(f"neither {AUTHORITY} nor {CERTIFICATE} is there")


def _build_context(side: Side, authority: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(side.value)  # for clients: server certificate and name are checked
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if authority is not None:
        trusted = b"".join(found.public_bytes(Encoding.DER) for found in _certificates(authority))
        context.load_verify_locations(cadata=trusted)
        context.verify_mode = ssl.CERT_REQUIRED
    elif side is Side.CLIENT:
        context.load_default_certs()
    return context


def _certificates(path: Path) -> list[x509.Certificate]:
    """At least one."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        raise TlsFilesError(f"{path.name} holds no certificate in PEM form, or a broken one") from error


def _load_pair(context: ssl.SSLContext, folder: Path) -> None:
    try:
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY, password=_refuse_passphrase)
    except ssl.SSLError as error:
        reason = (error.reason or "no private key in PEM form").replace("_", " ").lower()
        raise TlsFilesError(f"{CERTIFICATE} and {KEY} are not a pair that can be used ({reason})") from error


def _refuse_passphrase() -> NoReturn:
    """OpenSSL would ask at the terminal."""
    raise TlsFilesError(f"{KEY} is encrypted; a service has nobody to ask for a passphrase")
