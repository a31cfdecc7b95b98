"""What one run may spend: root model turns, sub-calls, wall time, errors in a row.

One `Budget` per run; the loop and the sub-calls charge it before they spend. The clock is handed in, so nothing here
waits or reads the time by itself; the run's own deadline timer ends waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.inference.errors import BudgetError, BudgetReason


@dataclass(frozen=True)
class Limits:
    """Per run; the settings are the maximum, a request may ask for less."""

    max_iterations: int
    max_subcalls: int
    timeout: float  # seconds of wall time
    max_consecutive_errors: int


@dataclass
class Budget:
    limits: Limits
    clock: Callable[[], float]  # seconds, monotonic
    started: float = field(init=False)
    iterations: int = field(default=0, init=False)
    subcalls: int = field(default=0, init=False)
    consecutive_errors: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def elapsed(self) -> float:
        return self.clock() - self.started

    @property
    def remaining_time(self) -> float:
        return max(0.0, self.limits.timeout - self.elapsed)

    def take_iteration(self) -> bool:
        """Count one more turn of the root model; False when none is left. Running out is no error: see loop.py."""
        self.check_time()
        if self.iterations >= self.limits.max_iterations:
            return False
        self.iterations += 1
        return True

    def take_subcalls(self, count: int) -> None:
        """Count a whole batch before its first call is paid for. Raises BudgetError when it does not fit."""
        self.check_time()
        left = self.limits.max_subcalls - self.subcalls
        if count > left:
            raise BudgetError(
                BudgetReason.SUBCALLS,
                f"the code asked for {count} more sub-calls, {left} of {self.limits.max_subcalls} were left; "
                "raise max_subcalls or ask a narrower question",
            )
        self.subcalls += count

    def note_outcome(self, ok: bool) -> None:
        """Count turns in error in a row. Raises BudgetError when there are too many."""
        self.consecutive_errors = 0 if ok else self.consecutive_errors + 1
        if self.consecutive_errors >= self.limits.max_consecutive_errors:
            raise BudgetError(
                BudgetReason.CONSECUTIVE_ERRORS,
                f"{self.consecutive_errors} turns in a row failed (code in error, or a reply with neither code nor a "
                "final answer); the run was stopped",
            )

    def check_time(self) -> None:
        """Raises BudgetError once the wall time is used up."""
        if self.remaining_time <= 0:
            raise self.timed_out()

    def timed_out(self) -> BudgetError:
        return BudgetError(
            BudgetReason.TIMEOUT, f"the run took longer than its {self.limits.timeout:g} s; raise timeout"
        )
