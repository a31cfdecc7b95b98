"""Writes down each run when it begins and when it ends, beside the run itself.

Used by `hosting.py`, which lets go of a run once it is stored. What the storage cannot take is tried again for a few
minutes; a run never waits for that, unless its caller leaves it alone and has only the storage to find it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from runtime.inference.errors import StorageUnavailableError
from runtime.inference.run_archive import RunArchive
from runtime.inference.run_handle import RunHandle

HELD: Final = 60.0  # seconds that a finished run is there when it is not stored
_RETRY_SECONDS: Final = (1.0, 5.0, 20.0, 60.0)
_STORE_TIMEOUT: Final = 5.0  # seconds that what is being stored gets when the service ends

log = logging.getLogger(__name__)


class RunKeeper:
    """`is_on`: whether runs are stored at all."""

    def __init__(self, archive: RunArchive, *, is_on: bool) -> None:
        self._is_on = is_on
        self._archive = archive
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by run
        self._begun: dict[str, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()

    def keep(self, handle: RunHandle, release: Callable[[], None]) -> None:
        """From now to the end of the run; then `release` is called."""
        begun = asyncio.create_task(self._begin(handle))
        self._begun[handle.id] = begun
        task = asyncio.create_task(self._keep(handle, begun))
        self._tasks[handle.id] = task

        def forget(_: asyncio.Task[None]) -> None:
            del self._tasks[handle.id], self._begun[handle.id]
            release()

        task.add_done_callback(forget)

    async def recorded(self, handle: RunHandle) -> None:
        """When the run can be found again also after a crash. Raises StorageUnavailableError."""
        begun = self._begun.get(handle.id)
        if begun is not None:
            await asyncio.shield(begun)

    async def close(self) -> None:
        """All runs have ended: wait until they are stored, though not for long."""
        self._closing.set()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks.values(), timeout=_STORE_TIMEOUT)
            for task in left:
                task.cancel()

    async def settle(self, handle: RunHandle) -> None:
        """Until a run that has ended is stored; one that is not to be stored is let go at once."""
        task = self._tasks.get(handle.id)
        if task is None:
            return
        if not self._is_stored(handle):
            task.cancel()
        await asyncio.wait({task})

    def _is_stored(self, handle: RunHandle) -> bool:
        return self._is_on and handle.origin.is_stored

    async def _begin(self, handle: RunHandle) -> None:
        if self._is_stored(handle):
            await self._archive.begin(handle.record.detail(), handle.origin.request)

    async def _keep(self, handle: RunHandle, begun: asyncio.Task[None]) -> None:
        with suppress(StorageUnavailableError):
            await begun
        await handle.finished()
        if self._is_stored(handle):
            await self._store(handle)
        else:
            await self._wait(HELD)

    async def _store(self, handle: RunHandle) -> None:
        events = handle.log.compressed()
        for delay in (*_RETRY_SECONDS, None):
            try:
                await self._archive.save(handle.record.detail(), events)
            except StorageUnavailableError:
                if delay is None:
                    log.exception("a finished run could not be stored", extra={"run_id": handle.id})
                else:
                    await self._wait(delay)
            else:
                return

    async def _wait(self, seconds: float) -> None:
        """Less when the service ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
