"""Whether a server is worth asking: closed while it answers, open for a while after it did not, then half open.

Each `Server` has one. A half-open one is tried by the next look at the pool (`SandboxClient.touch`) rather than by a
run, which would wait out a connection timeout for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIRST_PAUSE: Final = 1.0  # seconds; doubled with every failure after it
LONGEST_PAUSE: Final = 30.0


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class Breaker:
    """One failure opens it: a server that refuses a connection, breaks one or stays silent is one that went away. An
    answer of any kind closes it. `clock`: seconds, monotonic."""

    clock: Callable[[], float] = time.monotonic
    _pause: float = 0.0
    _failed_at: float = 0.0

    def failed(self) -> None:
        """A failure of a request that was begun before the breaker opened says nothing new."""
        if self.state is not BreakerState.OPEN:
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self._failed_at = self.clock()

    def answered(self) -> None:
        self._pause = 0.0

    @property
    def state(self) -> BreakerState:
        if not self._pause:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.clock() - self._failed_at < self._pause else BreakerState.HALF_OPEN

    @property
    def is_overdue(self) -> bool:
        """Half open for long: nobody looks at the pool, so a run must."""
        return bool(self._pause) and self.clock() - self._failed_at > 2 * self._pause + LONGEST_PAUSE
