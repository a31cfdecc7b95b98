"""TLS whose certificates change without a restart: a folder, and an SSL context that follows it.

Both services serve with one, and what calls the sandbox has one for its connections. The folder is looked at with each
new connection (three calls of stat), so nothing runs in between, and a rotated certificate, key or authority counts for
the next handshake. Connections that are open live on with what they began with. Reasons: docs/design/0011.
"""

from __future__ import annotations

import logging
import math
import ssl
from pathlib import Path
from typing import Self

from runtime.tls_files import NAMES, Credentials, Side, TlsFilesError, load_credentials

EXPIRY_METRIC = "tls_certificate_expiration_timestamp_seconds"
EXPIRY_HELP = "When the first certificate in tls.crt ends, as Unix time, by role: server or client."

log = logging.getLogger(__name__)


class TlsFolderError(ValueError):
    """A TLS setting is wrong; the message begins with its variable and says which file of the folder and why."""


class TlsFolder:
    """The certificates that the setting `variable` names. Raises TlsFolderError unless they can be used now.

    Later a folder that cannot be used, or in which a file is missing that was there, leaves the certificates as they
    were: a lost ca.crt must not let everybody in.
    """

    def __init__(self, variable: str, folder: Path, side: Side) -> None:
        self._variable = variable
        self._folder = folder
        self._side = side
        self._stamp = self._look()
        try:
            self._adopt(load_credentials(folder, side))
        except TlsFilesError as error:
            raise TlsFolderError(f"{variable}: {folder}: {error}") from error

    def newest(self) -> ssl.SSLContext:
        """For one connection; ask again for the next. A change is loaded here, about a millisecond."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp  # of before the files are read: what changes meanwhile is seen the next time
            self._reload()
        return self._credentials.context

    def expires(self) -> float:
        """Unix time at which the certificate ends; NaN for a client without one. For a gauge: looks for changes too."""
        self.newest()
        expires = self._credentials.expires
        return math.nan if expires is None else expires.timestamp()

    def following_context(self) -> ssl.SSLContext:
        """A context for a server or a client as a whole: each of its connections gets the newest certificates."""
        return _FollowingContext.of(self, self._side)

    def _look(self) -> tuple[tuple[int, int, int, int] | None, ...]:
        return tuple(_stamp(self._folder / name) for name in NAMES)

    def _reload(self) -> None:
        try:
            found = load_credentials(self._folder, self._side)
            for name in sorted(self._credentials.files - found.files):
                raise TlsFilesError(f"{name} is gone")
        except TlsFilesError as error:
            log.warning(
                "certificates could not be loaded, the earlier ones stay",
                extra={"variable": self._variable, "folder": str(self._folder), "error": str(error)},
            )
            return
        self._adopt(found)

    def _adopt(self, found: Credentials) -> None:
        self._credentials = found
        details = {
            "variable": self._variable,
            "folder": str(self._folder),
            "files": sorted(found.files),
            "expires": found.expires.isoformat() if found.expires else None,
        }
        if found.has_expired:
            log.warning("the certificate has expired", extra=details)
        else:
            log.info("certificates loaded", extra=details)


class _FollowingContext(ssl.SSLContext):
    """Leaves every connection to the newest context of a folder. asyncio makes each of its TLS connections, accepted
    or opened, by `wrap_bio`; the context itself has no certificate and trusts nobody, so any other use of it fails."""

    _folder: TlsFolder

    @classmethod
    def of(cls, folder: TlsFolder, side: Side) -> Self:
        context = cls(side.value)
        context._folder = folder
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self._folder.newest().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    """Changes with whatever happens to a file, its mode included; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime_ns
