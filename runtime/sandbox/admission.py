"""Who may run a cell now: a bounded number at once, a bounded queue behind them, taking turns between callers.

A suspended cell holds no slot, so a run that waits for its model costs nobody else anything.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.sandbox.errors import RequestError
from runtime.wire import ErrorCode


class Admission:
    """`slots` cells at once, `max_queue` waiting for at most `queue_seconds`."""

    def __init__(self, slots: int, max_queue: int, queue_seconds: float) -> None:
        self.slots = slots
        self._max_queue = max_queue
        self._queue_seconds = queue_seconds
        self.running = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def queued(self) -> int:
        return sum(len(waiters) for waiters in self._waiting.values())

    @asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[float]:
        """Hold a slot; yields the seconds that were spent waiting. RequestError (429) if there is none in time."""
        started = asyncio.get_running_loop().time()
        if self.running < self.slots and not self._waiting:
            self.running += 1
        else:
            await self._wait(caller)
        try:
            yield asyncio.get_running_loop().time() - started
        finally:
            self.running -= 1
            self._admit()

    async def _wait(self, caller: str) -> None:
        if self.queued >= self._max_queue:
            raise RequestError(ErrorCode.QUEUE_FULL, f"{self._max_queue} cells wait already; try again later")
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(admitted)
        try:
            async with asyncio.timeout(self._queue_seconds):
                await asyncio.shield(admitted)
        except (TimeoutError, asyncio.CancelledError) as error:
            self._give_up(caller, admitted)
            if isinstance(error, TimeoutError):
                raise RequestError(
                    ErrorCode.QUEUE_TIMEOUT, f"no cell ended within {self._queue_seconds:g} s; try again later"
                ) from None
            raise

    def _give_up(self, caller: str, admitted: asyncio.Future[None]) -> None:
        if admitted.done():
            # Admitted in the same moment: pass the slot on.
            self.running -= 1
            self._admit()
            return
        admitted.cancel()
        waiters = self._waiting[caller]
        waiters.remove(admitted)
        if not waiters:
            del self._waiting[caller]

    def _admit(self) -> None:
        """Give free slots to waiters, one per caller in turn."""
        while self.running < self.slots and self._waiting:
            caller, waiters = self._waiting.popitem(last=False)
            waiters.popleft().set_result(None)
            self.running += 1
            if waiters:
                self._waiting[caller] = waiters
