"""Uploaded files: what `/v1/files` keeps, and what a request over a `file_id` reads.

A file belongs to the name of the key that uploaded it; nobody else finds it. Its content is written before its record,
so that a file that is found is whole; both carry the same id.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel

from runtime.inference.audit import Audit
from runtime.inference.errors import FileNotFoundHereError, StorageFullError
from runtime.inference.key_limits import LimitsByKey
from runtime.inference.storage import ID_LENGTH, TOKEN_LENGTH, Storage
from runtime.inference.text_cache import TextCache

PREFIX: Final = "file-"
_ID: Final = re.compile(rf"{PREFIX}[0-9a-f]{{{ID_LENGTH}}}")
_TOKEN_AT: Final = len(PREFIX) + 12
_RECORDS: Final = "files"
_CONTENTS: Final = "contents"


class StoredFile(BaseModel):
    """The record of one file; times are unix seconds."""

    id: str
    filename: str
    purpose: str
    bytes: int
    sha256: str
    created_at: int
    expires_at: int


class FileStore:
    def __init__(self, storage: Storage, max_bytes: int, limits: LimitsByKey, audit: Audit) -> None:
        self._storage = storage
        self._max_bytes = max_bytes
        self._limits = limits
        self._audit = audit
        self.texts = TextCache()

    async def add(self, owner: str, filename: str, purpose: str, spooled: Path, size: int) -> StoredFile:
        """Keep the content of `spooled`, `size` bytes. Raises StorageFullError."""
        await self._require_quota(owner, size)
        held = sum(entry.size for entry in await self._storage.entries(_CONTENTS))
        if held + size > self._max_bytes:
            raise StorageFullError(
                f"the file has {size:,} bytes, {max(0, self._max_bytes - held):,} of {self._max_bytes:,} are left for "
                "files; delete some, or raise RLM_STORAGE_MAX_BYTES"
            )
        now = int(time.time())
        stored = StoredFile(
            id=PREFIX + self._storage.new_id(),
            filename=filename,
            purpose=purpose,
            bytes=size,
            sha256=await asyncio.to_thread(_digest, spooled),
            created_at=now,
            expires_at=now + int(self._storage.retention),
        )
        await self._storage.put(_path(_CONTENTS, owner, stored.id), spooled)
        await self._storage.put(_path(_RECORDS, owner, stored.id), stored.model_dump_json().encode())
        self._audit.file("uploaded", owner, stored.id, bytes=size, sha256=stored.sha256)
        return stored

    async def find(self, owner: str, file_id: str) -> StoredFile:
        """Raises FileNotFoundHereError, also for another key's file."""
        record = await self._storage.get(_path(_RECORDS, owner, file_id)) if _ID.fullmatch(file_id) else None
        if record is None:
            raise self._not_found(file_id)
        return StoredFile.model_validate_json(record)

    async def ids(self, owner: str) -> list[str]:
        """Oldest first."""
        return [entry.path.rsplit("/", 1)[-1] for entry in await self._storage.entries(_folder(_RECORDS, owner))]

    async def content(self, owner: str, file_id: str) -> AsyncIterator[bytes]:
        """In chunks. Raises FileNotFoundHereError before the first."""
        if not _ID.fullmatch(file_id):
            raise self._not_found(file_id)
        self._audit.file("read", owner, file_id)
        try:
            async for chunk in self._storage.read(_path(_CONTENTS, owner, file_id)):
                yield chunk
        except FileNotFoundError as error:
            raise self._not_found(file_id) from error

    async def delete(self, owner: str, file_id: str) -> None:
        """Raises FileNotFoundHereError."""
        await self.find(owner, file_id)
        self.texts.drop(file_id)
        await self._storage.delete(_path(_RECORDS, owner, file_id), _path(_CONTENTS, owner, file_id))
        self._audit.file("deleted", owner, file_id)

    async def _require_quota(self, owner: str, size: int) -> None:
        quota = self._limits.of(owner).file_bytes
        if quota is None:
            return
        entries = await self._storage.entries(_folder(_CONTENTS, owner))
        held = sum(entry.size for entry in entries)
        if held + size <= quota:
            return
        message = f"the file has {size:,} bytes, {max(0, quota - held):,} of this key's {quota:,} are left for files"
        if entries:
            largest = max(entries, key=lambda entry: entry.size)
            file_id = largest.path.rsplit("/", 1)[-1]
            message += f"; delete some of its {len(entries)}: the largest, {file_id}, has {largest.size:,} bytes"
        raise StorageFullError(message)

    def _not_found(self, file_id: str) -> FileNotFoundHereError:
        token = file_id[_TOKEN_AT : _TOKEN_AT + TOKEN_LENGTH]
        if _ID.fullmatch(file_id) and token != self._storage.token:
            return FileNotFoundHereError(
                f"the file {file_id} was stored by another process, whose storage this one does not share; upload it "
                "again, or give all replicas one RLM_STORAGE_URL",
                is_elsewhere=True,
            )
        return FileNotFoundHereError(f"there is no file {file_id[:100]!r}; see /v1/files")


def _folder(kind: str, owner: str) -> str:
    return f"{kind}/{quote(owner, safe='')}"


def _path(kind: str, owner: str, file_id: str) -> str:
    return f"{_folder(kind, owner)}/{file_id}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
