"""Terms of leadership: workers run while the Lease is held, and at no other time. `process.py` runs it.

An operator that does not lead keeps watching, so it knows everything when its term begins and starts within a second.
One that loses the Lease stays as a standby instead of ending: it may well be the next to lead, with its cache warm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from rlm_operator.cache import Cache
from rlm_operator.errors import WorkerEndedError
from rlm_operator.events import EventRecorder
from rlm_operator.lease import Elector
from rlm_operator.metrics import Metrics
from rlm_operator.workqueue import WorkQueue

_DRAIN_SECONDS: Final = 1
"""Longer than a reconcile takes. One that is cut short is done again by the next leader."""

_log = logging.getLogger(__name__)


class Leader:
    """`work` is what a worker runs until the queue is closed."""

    def __init__(
        self,
        elector: Elector,
        queue: WorkQueue,
        cache: Cache,
        recorder: EventRecorder,
        metrics: Metrics,
        work: Callable[[], Coroutine[Any, Any, None]],
        workers: int,
    ) -> None:
        self._elector = elector
        self._queue = queue
        self._cache = cache
        self._recorder = recorder
        self._work = work
        self._count = workers
        self._workers: list[asyncio.Task[None]] = []
        self._hold: asyncio.Task[str] | None = None
        self._draining = False
        metrics.leader.set_function(lambda: float(self.works))
        metrics.queue_depth.set_function(lambda: len(queue) if self.works else 0)

    @property
    def works(self) -> bool:
        """Whether this operator reconciles."""
        return bool(self._workers) and self._elector.leads

    async def run(self) -> None:
        """Term after term, until cancelled. Raises WorkerEndedError when a worker stops by itself."""
        while True:
            await self._elector.campaign()
            _log.info("leading")
            cause = await self._serve()
            _log.warning("no longer leading: %s", cause)

    async def end(self) -> None:
        """Workers finish what they are at, within bounds; then the next operator may begin. `run` is cancelled next."""
        self._draining = True
        self._queue.close()
        if self._workers:
            await asyncio.wait(self._workers, timeout=_DRAIN_SECONDS)
        await self._stop_workers()
        if self._hold is not None:
            # A renewal under way would get in the way of the release.
            self._hold.cancel()
            await asyncio.gather(self._hold, return_exceptions=True)
        await self._elector.release()

    async def _serve(self) -> str:
        """One term; returns why it ended."""
        # What was cut short at the end of the last term is in no queue.
        for ref in self._cache.resources():
            self._queue.add(ref)
        hold = self._hold = asyncio.create_task(self._elector.hold(), name="lease")
        self._workers = [asyncio.create_task(self._work(), name=f"worker {n}") for n in range(self._count)]
        announcement = asyncio.create_task(self._announce(), name="announcement")
        try:
            await asyncio.wait([hold, *self._workers], return_when=asyncio.FIRST_COMPLETED)
            if not hold.done() and not self._draining:
                raise WorkerEndedError(self._first_end())
            return await hold
        finally:
            hold.cancel()
            announcement.cancel()
            await self._stop_workers()

    async def _announce(self) -> None:
        if self._elector.lease is not None:
            await self._recorder.record_leader(self._elector.lease)

    def _first_end(self) -> str:
        [ended, *_] = [task for task in self._workers if task.done()]
        cause = None if ended.cancelled() else ended.exception()
        return f"{ended.get_name()}: {cause or 'ended'}"

    async def _stop_workers(self) -> None:
        for task in self._workers:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []
