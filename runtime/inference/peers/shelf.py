"""Uploaded files wherever they are, for the questions over them: in this replica's storage or in another's.

Made once by `app.py`; `attachments.py` reads through the view of one caller. What another replica has is read from it
each time that its text is not here any more; that it is there still is asked each time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from runtime.inference.envelope import KEY_NAME
from runtime.inference.errors import FileNotFoundHereError, OwnerGoneError, OwnerUnreachableError
from runtime.inference.file_store import FileStore, StoredFile
from runtime.inference.peers.directory import Directory
from runtime.inference.peers.peer_http import Peer, Purpose, asker_headers, chunks, is_forwarded
from runtime.inference.storage import storage_of
from runtime.inference.text_cache import TextCache

_PATH: Final = "/v1/files/"
_ASK_TIMEOUT: Final = 10.0


class Shelf:
    def __init__(self, store: FileStore, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def seen_by(self, request: web.Request) -> CallersShelf:
        return CallersShelf(self._store, self._directory, request)


class CallersShelf:
    """What the caller of one request has; `owner` is the name of its key."""

    def __init__(self, store: FileStore, directory: Directory, request: web.Request) -> None:
        self._store = store
        self._directory = directory
        self._request = request
        self.owner = request[KEY_NAME]

    @property
    def texts(self) -> TextCache:
        return self._store.texts

    async def find(self, file_id: str) -> StoredFile:
        """Raises FileNotFoundHereError, OwnerUnreachableError."""
        peer = await self._elsewhere(file_id)
        if peer is None:
            return await self._store.find(self.owner, file_id)
        try:
            reply = await self._directory.http.fetch(
                peer, Purpose.FILE, _PATH + file_id, asker_headers(self._request), _ASK_TIMEOUT
            )
        except OwnerGoneError:
            return await self._store.find(self.owner, file_id)  # says what is to be said
        if reply is None:
            raise FileNotFoundHereError(f"there is no file {file_id!r}; see /v1/files")
        return StoredFile.model_validate_json(reply)

    async def content(self, file_id: str) -> AsyncIterator[bytes]:
        """Of a file that was found, in chunks. Raises FileNotFoundHereError, OwnerUnreachableError."""
        peer = await self._elsewhere(file_id)
        if peer is None:
            async for chunk in self._store.content(self.owner, file_id):
                yield chunk
            return
        target, headers = f"{_PATH}{file_id}/content", asker_headers(self._request)
        async with self._directory.http.request(peer, Purpose.FILE, "GET", target, headers) as reply:
            if reply.status != 200:
                raise OwnerUnreachableError(f"the replica that has {file_id} answered HTTP {reply.status}; try again")
            async for chunk in chunks(reply):
                yield chunk

    async def _elsewhere(self, file_id: str) -> Peer | None:
        storage = storage_of(file_id)
        if storage is None or is_forwarded(self._request) or not self._directory.is_elsewhere(storage):
            return None
        return await self._directory.owner(storage, self._request)
