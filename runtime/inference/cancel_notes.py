"""Cancelling a run that goes on in another process: a note in the storage that both share.

Left by `run_catalog.py`; each process looks for its own with every beat of its presence, and ends what is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import web

from runtime.inference.errors import StorageUnavailableError
from runtime.inference.hosting import Hosting
from runtime.inference.presence import Presence
from runtime.inference.storage import Storage

_FOLDER: Final = "cancels"


class CancelNotes:
    def __init__(self, storage: Storage, presence: Presence, hosting: Hosting) -> None:
        self._storage = storage
        self._presence = presence
        self._hosting = hosting

    @property
    def patience(self) -> float:
        """Seconds after which a living process has found a note and ended the run."""
        return 3 * self._presence.beat

    async def leave(self, process: str, run_id: str) -> None:
        """Raises StorageUnavailableError."""
        await self._storage.put(f"{_FOLDER}/{process}/{run_id}", b"")

    async def while_serving(self, _: web.Application) -> AsyncIterator[None]:
        """A clean-up context of the application."""
        looking = asyncio.create_task(self._keep_looking())
        yield
        looking.cancel()
        await asyncio.wait({looking})

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._presence.beat)
            with suppress(StorageUnavailableError):  # logged by the storage; the notes stay
                await self._obey()

    async def _obey(self) -> None:
        notes = await self._storage.entries(f"{_FOLDER}/{self._presence.process}")
        handles = [self._hosting.find(None, note.path.rsplit("/", 1)[-1]) for note in notes]
        await asyncio.gather(*(handle.cancel() for handle in handles if handle is not None))
        await self._storage.delete(*(note.path for note in notes))
