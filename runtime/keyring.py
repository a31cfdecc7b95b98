"""The bearer keys that a service accepts: a folder with one file per named key, as a Secret is mounted.

The file's name is the key's name, its stripped content the key. The folder is read again when it changed, so keys are
added and rotated without a restart. Used by the request authentication of both services.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

BEARER = "bearer "

log = logging.getLogger(__name__)


class KeyFolderError(Exception):
    """The folder cannot be read or holds no key; the message says which folder and what to put there."""


class KeyRing:
    """Named keys of `folder`; `None` accepts nobody (use it only where authentication is disabled)."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._stamp: tuple[tuple[str, int, int], ...] = ()
        self._digests: Mapping[str, bytes] = {}

    def require_keys(self) -> None:
        """Raise KeyFolderError unless at least one key is there. Called at start: no keys, no service."""
        self._refresh()
        if not self._digests:
            where = "no folder of keys is named" if self._folder is None else f"no keys in {self._folder}"
            raise KeyFolderError(
                f"{where}: put one file per caller into a folder (file name = key name, content = key), "
                "or set the authentication mode to Disabled"
            )

    def identify(self, authorization: str | None) -> str | None:
        """The name of the key in an Authorization header (`Bearer KEY`), or None. Compares in constant time."""
        if authorization is None or authorization[: len(BEARER)].lower() != BEARER:
            return None
        self._refresh()
        presented = _digest(authorization[len(BEARER) :].strip())
        found: str | None = None
        for name, digest in self._digests.items():
            if hmac.compare_digest(digest, presented):
                found = name
        return found

    def _refresh(self) -> None:
        """A folder that cannot be read just now, in the middle of an update, leaves the keys as they were."""
        try:
            stamp = tuple(_file_stamp(path) for path in self._files())
            if stamp == self._stamp:
                return
            keys = {path.name: path.read_text(encoding="utf-8").strip() for path in self._files()}
        except (OSError, UnicodeDecodeError) as error:
            log.warning("key folder could not be read", extra={"folder": str(self._folder), "error": str(error)})
            return
        self._digests = {name: _digest(key) for name, key in keys.items() if key}
        self._stamp = stamp

    def _files(self) -> Iterator[Path]:
        """Key files; names with a leading dot are the bookkeeping of a Secret volume (`..data`)."""
        if self._folder is None or not self._folder.is_dir():
            return iter(())
        return iter(sorted(p for p in self._folder.iterdir() if p.is_file() and not p.name.startswith(".")))


def _file_stamp(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return path.name, stat.st_mtime_ns, stat.st_ino


def _digest(key: str) -> bytes:
    """Equal lengths for compare_digest, and no plain keys kept in memory."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
