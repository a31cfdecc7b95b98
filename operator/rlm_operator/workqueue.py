"""Queue of custom resources to reconcile: one entry per resource, one worker per resource, waits after failures.

Kubernetes controllers call this a rate-limited work queue. A key that is added while it is being worked on runs once
more afterwards, so no event is lost and none is handled twice at once.

Keys wait in lanes by urgency: while a thousand new resources wait, an edit of an old one is served at once, and what is
merely to be looked at again comes after the new ones. Within a lane, first in is first out.

News about what is around a resource comes in swarms: a Deployment that was just made tells of itself four times in a
second. So a routine look comes REST_SECONDS after the last one at the earliest, and sees them all at once.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from rlm_operator.kinds import Ref

_FIRST_BACKOFF_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 120.0
_EARLIEST: Final = 0.9
"""A delayed run comes after this part of its delay at the earliest."""

REST_SECONDS: Final = 0.5
"""From the end of one run of a key to a routine one."""

_FAIR_SHARE: Final = 4
"""One of so many picks is from the least urgent lane that has a key, so that none waits for ever."""


class Urgency(IntEnum):
    """Of a key, the most urgent first."""

    EDITED = 0  # its spec is another than the one that was reconciled
    NEW = 1  # it was never reconciled
    ROUTINE = 2  # something around it changed, or it is time to look


@dataclass(frozen=True)
class _Failures:
    """How often a key failed in a row, and when its wait is over."""

    count: int
    wait_until: float


class WorkQueue:
    """All times are seconds on the monotonic `clock`. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes: dict[Urgency, dict[Ref, None]] = {urgency: {} for urgency in Urgency}
        self._picks = 0
        self._busy: set[Ref] = set()
        self._news: dict[Ref, float] = {}
        self._answered: dict[Ref, float] = {}
        self._dirty: dict[Ref, Urgency] = {}
        self._failures: dict[Ref, _Failures] = {}
        self._due: dict[Ref, float] = {}
        self._held: dict[Ref, float] = {}
        self._timers: list[tuple[float, Ref]] = []
        self._rested: dict[
            Ref, float
        ] = {}  # when each key that was done lately has rested, in the order of these times
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def add(self, key: Ref, urgency: Urgency = Urgency.ROUTINE) -> None:
        """Run as soon as a worker is free; takes the place of a later run. A key that waits may become more urgent.

        A pause that the API server asked for (`retry`) is kept.
        """
        self._due.pop(key, None)
        if urgency is not Urgency.ROUTINE:
            self._news.setdefault(key, self._clock())
        elif (rested := self._rest_of(key)) is not None and self._lane_of(key) is None and key not in self._busy:
            self._plan(key, rested)
            return
        held = self._held.pop(key, 0.0)
        if held > self._clock():
            self._held[key] = held
            self._plan(key, held)
            return
        if key in self._busy:
            self._dirty[key] = min(urgency, self._dirty.get(key, urgency))
            return
        waits = self._lane_of(key)
        if waits is None or urgency < waits:
            if waits is not None:
                del self._lanes[waits][key]
            self._lanes[urgency][key] = None
        self._wake.set()

    def add_after(self, key: Ref, delay: float) -> None:
        """Run in `delay` seconds, give or take a tenth, unless an earlier run is planned."""
        due = self._clock() + delay * random.uniform(_EARLIEST, 2 - _EARLIEST)  # noqa: S311 - spreads load, guards nothing
        if self._lane_of(key) is not None or self._due.get(key, due + 1) <= due:
            return
        self._plan(key, due)

    def retry(self, key: Ref, pause: float = 0) -> float:
        """Run again after a wait that doubles with each failure in a row; returns that wait.

        `pause`: seconds for which the API server asks not to be asked again; no event shortens them.

        A failure before the wait was over, of a run that an event asked for, leaves the wait as it is: else a resource
        with many events would soon wait longest, and its healing with it.
        """
        now = self._clock()
        if (since := self._answered.pop(key, None)) is not None:
            self._news[key] = since
        before = self._failures.get(key)
        if before is not None and now < before.wait_until:
            delay = before.wait_until - now
        else:
            count = before.count + 1 if before else 1
            # Bounded before the power: the count has no bound.
            delay = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(count - 1, 16))
            self._failures[key] = _Failures(count, now + delay * _EARLIEST)
        if pause > 0:
            self._held[key] = now + min(pause, _LONGEST_BACKOFF_SECONDS)
        self.add_after(key, delay)
        return max(delay, pause)

    def seconds_since_news(self, key: Ref) -> float | None:
        """Of a key that is being worked on: since it was first added as new or edited, tries that failed included. None
        where nothing of that kind is answered by this run."""
        since = self._answered.get(key)
        return None if since is None else self._clock() - since

    def forget_failures(self, key: Ref) -> None:
        self._failures.pop(key, None)

    def is_pressed(self) -> bool:
        """Whether keys wait that are more urgent than routine."""
        return any(lane for urgency, lane in self._lanes.items() if urgency is not Urgency.ROUTINE)

    def close(self) -> None:
        """Every `get` returns None from now on."""
        self._closed = True
        self._wake.set()

    async def get(self) -> Ref | None:
        """Wait for the next key; the caller must call `done` with it. None when the queue is closed."""
        while not self._closed:
            wait = self._promote()
            if key := self._pick():
                self._busy.add(key)
                if (since := self._news.pop(key, None)) is not None:
                    self._answered[key] = since
                return key
            self._wake.clear()
            try:
                # Not asyncio.wait_for: kopf cancels tasks that it does not know, as wait_for makes on Python 3.11.
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue
        return None

    def done(self, key: Ref) -> None:
        self._busy.discard(key)
        self._answered.pop(key, None)
        self._rested.pop(key, None)
        self._rested[key] = self._clock() + REST_SECONDS
        if key in self._dirty:
            self.add(key, self._dirty.pop(key))

    def _rest_of(self, key: Ref) -> float | None:
        """Until when the key rests; None when it has rested."""
        now = self._clock()
        while self._rested and self._rested[first := next(iter(self._rested))] <= now:
            del self._rested[first]
        return self._rested.get(key)

    def _lane_of(self, key: Ref) -> Urgency | None:
        return next((urgency for urgency, lane in self._lanes.items() if key in lane), None)

    def _pick(self) -> Ref | None:
        lanes = [lane for lane in self._lanes.values() if lane]
        if not lanes:
            return None
        self._picks += 1
        lane = lanes[-1 if self._picks % _FAIR_SHARE == 0 else 0]
        key = next(iter(lane))
        del lane[key]
        return key

    def _plan(self, key: Ref, due: float) -> None:
        self._due[key] = due
        heapq.heappush(self._timers, (due, key))
        self._wake.set()

    def _promote(self) -> float | None:
        """Make due keys ready; returns the time until the next one is due."""
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                self.add(key)
        return self._timers[0][0] - now if self._timers else None
