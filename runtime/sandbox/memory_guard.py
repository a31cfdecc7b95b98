"""Keeps the pod below its memory limit, so that the kernel need not: its kill would take all sessions at once.

In this order: what would not fit is not begun (429), idle sessions are ended (404 `session_expired` from then on) where
that helps, the largest of those that run or are suspended is killed (`status: memory`, rolled back). Held by `service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from runtime.sandbox.errors import RequestError
from runtime.sandbox.memory_meter import MemoryMeter
from runtime.sandbox.metrics import SandboxMetrics
from runtime.sandbox.registry import Registry
from runtime.wire import ErrorCode

TARGET_SHARE: Final = 0.97  # of the level: how far down it is brought, so that not each reading evicts
URGENT_SHARE: Final = 0.93  # of the limit: above it, idle sessions that are too small to help are not waited for
WATCHFUL_SHARE: Final = 0.6  # of the limit: above it, a reading follows the other sooner
# Two CPUs fill some 2.5 GB/s: 15 % of 1 GiB in 60 ms, and 40 % of it in 160 ms.
WATCH_SECONDS: Final = 0.05
WATCHFUL_SECONDS: Final = 0.01
WORTHWHILE_SHARE: Final = 0.25  # of what is missing: idle sessions with less are kept while a busy one can be killed
RELIEF_SECONDS: Final = 0.03  # the kernel takes that long to give back what a killed process had
ROOM_SECONDS: Final = 1.0  # how long a request waits for what was evicted for it

log = logging.getLogger(__name__)


class MemoryGuard:
    """`used` and `limit` are bytes, as `meter` counts them."""

    def __init__(self, meter: MemoryMeter, registry: Registry, metrics: SandboxMetrics) -> None:
        self._meter = meter
        self._registry = registry
        self._metrics = metrics
        self._promised = 0  # of requests that were let in and are not done
        self._level = int(meter.limit * meter.share)

    async def watch(self) -> None:
        """Runs for the life of the service."""
        while True:
            used = self._meter.used()
            if used > self._level:
                self._relieve(used)
                await asyncio.sleep(RELIEF_SECONDS)
            else:
                is_near = used > self._meter.limit * WATCHFUL_SHARE
                await asyncio.sleep(WATCHFUL_SECONDS if is_near else WATCH_SECONDS)

    @asynccontextmanager
    async def room(self, owner: str, wanted: int) -> AsyncIterator[None]:
        """For `wanted` bytes, which are promised to nobody else meanwhile. 429 if ending idle sessions, of `owner` and
        of callers who hold more, does not make it."""
        await self._make_room(owner, wanted)
        self._promised += wanted
        try:
            yield
        finally:
            self._promised -= wanted

    async def _make_room(self, owner: str, wanted: int) -> None:
        if self._lacking(wanted) <= 0:
            return
        self._registry.evict_idle(self._lacking(wanted), owner)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROOM_SECONDS):
                # The kernel tells nobody when a process's memory is free: there is no event to wait for.
                while self._lacking(wanted) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(WATCHFUL_SECONDS)
                return
        raise RequestError(
            ErrorCode.MEMORY_FULL,
            f"the memory of this server is in use ({self._meter.used() >> 20} of {self._meter.limit >> 20} MiB, "
            f"{wanted >> 20} MiB more are needed); end sessions or try again later",
        )

    def _lacking(self, wanted: int) -> int:
        return self._meter.used() + self._promised + wanted - self._level

    def _relieve(self, used: int) -> None:
        missing = used - int(self._level * TARGET_SHARE)
        largest = self._registry.largest_busy()
        # What little idle sessions of others have would not save the cell that takes all, but end them besides.
        freed = self._registry.evict_idle(missing, least=0 if largest is None else int(missing * WORTHWHILE_SHARE))
        if freed >= missing or (freed > 0 and used <= self._meter.limit * URGENT_SHARE):
            return
        if largest is not None:
            size = largest.resident_bytes()
            log.warning("killing the largest session: memory", extra={"mebibytes": size >> 20, "used": used >> 20})
            self._metrics.memory_kills.inc()
            largest.kill_for_memory()
