"""Certificates of the tests, and folders that hold them as a Secret volume does."""

from __future__ import annotations

import datetime
import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trustme

HOST: Final = "127.0.0.1"
PAST: Final = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

Pair = trustme.LeafCert


def issue(authority: trustme.CA, name: str = HOST, *, expired: bool = False) -> Pair:
    """A certificate for a server at `name` or a client of that name."""
    if expired:
        return authority.issue_cert(name, not_before=PAST - datetime.timedelta(days=1), not_after=PAST)
    return authority.issue_cert(name)


def contents(pair: Pair | None = None, *trusted: trustme.CA) -> dict[str, bytes]:
    """The files for a certificate with its key, and for the authorities that its owner trusts."""
    files: dict[str, bytes] = {}
    if pair is not None:
        files["tls.crt"] = b"".join(pem.bytes() for pem in pair.cert_chain_pems)
        files["tls.key"] = pair.private_key_pem.bytes()
    if trusted:
        files["ca.crt"] = b"".join(authority.cert_pem.bytes() for authority in trusted)
    return files


def mount(folder: Path, files: dict[str, bytes]) -> Path:
    """Put `files` in place of what the folder holds, all in one moment, as the kubelet does it. Returns `folder`."""
    folder.mkdir(exist_ok=True)
    version = folder / f"..{secrets.token_hex(8)}"
    version.mkdir()
    for name, content in files.items():
        (version / name).write_bytes(content)
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        path = folder / name
        if name in files and not path.is_symlink():
            path.symlink_to(f"..data/{name}")
        elif name not in files:
            path.unlink(missing_ok=True)
    return folder


def client_context(server_authority: trustme.CA, pair: Pair | None = None) -> ssl.SSLContext:
    """What another program would use: trusts one authority and shows one certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server_authority.configure_trust(context)
    if pair is not None:
        pair.configure_cert(context)
    return context


@dataclass(frozen=True)
class Authorities:
    servers: trustme.CA = field(default_factory=trustme.CA)
    clients: trustme.CA = field(default_factory=trustme.CA)
    others: trustme.CA = field(default_factory=trustme.CA)

    def client(self, authority: trustme.CA | None = None, *, expired: bool = False) -> ssl.SSLContext:
        """A client whose certificate `authority` issued (default: the one for clients)."""
        return client_context(self.servers, issue(authority or self.clients, "client", expired=expired))
