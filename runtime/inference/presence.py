"""Which processes that share a storage are alive, so that a run whose process died is not shown as running for ever.

Each process touches an object of its own while it serves, and deletes it at its orderly end. `run_archive.py` asks.
Ages are compared by the store's clock alone: against the youngest object, which is at most one beat old.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import web

from runtime.inference.errors import StorageUnavailableError
from runtime.inference.storage import Storage

DEFAULT_BEAT: Final = 10.0  # seconds
_BEATS_MISSED: Final = 4  # after which a process counts as dead
_FOLDER: Final = "processes"


class Presence:
    def __init__(self, storage: Storage, beat: float = DEFAULT_BEAT) -> None:
        self.process = secrets.token_hex(6)
        self._storage = storage
        self.beat = beat  # seconds

    async def living(self) -> frozenset[str]:
        """Processes that were there within the last beats, this one always."""
        entries = await self._storage.entries(_FOLDER)
        youngest = max((entry.modified for entry in entries), default=0.0)
        horizon = youngest - _BEATS_MISSED * self.beat
        return frozenset({self.process, *(e.path.rsplit("/", 1)[-1] for e in entries if e.modified >= horizon)})

    async def while_serving(self, _: web.Application) -> AsyncIterator[None]:
        """A clean-up context of the application; a store that does not answer does not keep it from serving."""
        beating = asyncio.create_task(self._keep_touching())
        yield
        beating.cancel()
        await asyncio.wait({beating})
        with suppress(StorageUnavailableError):
            await self._storage.delete(self._path)

    async def _keep_touching(self) -> None:
        while True:
            await self._touch()
            await asyncio.sleep(self.beat)

    async def _touch(self) -> None:
        """One that fails is made up for by the next; the storage has logged it."""
        with suppress(StorageUnavailableError):
            await self._storage.put(self._path, b"")

    @property
    def _path(self) -> str:
        return f"{_FOLDER}/{self.process}"
