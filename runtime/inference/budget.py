"""What one run may spend: turns, sub-calls, tokens, money, wall time, errors in a row.

Runs form a tree: each `rlm_query` is a child run with a `Budget` of its own, and what it spends counts for every
ancestor too. The loop and the sub-calls charge a budget before they spend. The clock is handed in, so nothing here
waits or reads the time by itself; the root's deadline timer ends waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from runtime.inference.errors import BudgetError, BudgetReason
from runtime.inference.prices import Prices, price_tokens
from runtime.inference.prompts import CHARACTERS_PER_TOKEN
from runtime.inference.usage import Usage


@dataclass(frozen=True)
class Limits:
    """Per run with its children; the settings are the maximum, a request may ask for less."""

    max_iterations: int  # of each run of the tree
    max_subcalls: int  # model calls but the root's own turns
    timeout: float  # seconds of wall time
    max_consecutive_errors: int  # of each run of the tree
    max_depth: int = 0  # levels of child runs below this one; 0: `rlm_query` is `llm_query`
    max_tokens: int | None = None  # of prompts and completions together
    max_cost: float | None = None  # USD
    reuse_answers: bool = True  # ask identical sub-calls once
    fork_children: bool = False  # child runs begin with a copy of the asking run's session
    prices: Prices = field(default_factory=dict)


@dataclass
class Budget:
    limits: Limits
    clock: Callable[[], float]  # seconds, monotonic
    parent: Budget | None = None
    started: float = field(init=False)
    iterations: int = field(default=0, init=False)
    turns: int = field(default=0, init=False)  # calls of the run's own model, the one for the best answer included
    subcalls: int = field(default=0, init=False)
    consecutive_errors: int = field(default=0, init=False)
    levels: int = field(default=0, init=False)  # of child runs that there were below this one
    usage_by_model: dict[str, Usage] = field(default_factory=dict, init=False)
    _in_flight: Usage = field(default_factory=Usage, init=False)  # estimates of calls that have no reply yet

    def __post_init__(self) -> None:
        self.started = self.clock()

    def open_child(self) -> Budget:
        """The budget of a child run: one level less, and no more time than is left here."""
        limits = replace(self.limits, max_depth=self.limits.max_depth - 1, timeout=self.remaining_time)
        for level, budget in enumerate(self._lineage(), start=1):
            budget.levels = max(budget.levels, level)
        return Budget(limits, self.clock, parent=self)

    @property
    def elapsed(self) -> float:
        return self.clock() - self.started

    @property
    def remaining_time(self) -> float:
        return max(0.0, self.limits.timeout - self.elapsed)

    @property
    def usage(self) -> Usage:
        """Everything spent by this run and its children."""
        return sum(self.usage_by_model.values(), Usage())

    def take_iteration(self) -> bool:
        """Count one more turn of the run's model; False when none is left. Running out is no error: see loop.py."""
        self.check_time()
        if self.iterations >= self.limits.max_iterations:
            return False
        self.iterations += 1
        return True

    def take_turn(self) -> None:
        """Count a call of the run's own model before it is made. A child's first is paid for by the sub-call that asked
        for the child; each later one is a sub-call more, so that `max_subcalls` bounds the calls of the whole tree."""
        self.check_time()
        self.turns += 1
        if self.parent is not None and self.turns > 1:
            self.parent.take_subcalls(1)

    def take_subcalls(self, count: int) -> None:
        """Count a whole batch before its first call is paid for. Raises BudgetError when it does not fit."""
        self.check_time()
        for budget in self._lineage():
            left = budget.limits.max_subcalls - budget.subcalls
            if count > left:
                raise BudgetError(
                    BudgetReason.SUBCALLS,
                    f"the code asked for {count} more sub-calls, {left} of {budget.limits.max_subcalls} were left; "
                    "raise max_subcalls or ask a narrower question",
                )
        for budget in self._lineage():
            budget.subcalls += count

    @contextmanager
    def reserve(self, model: str, characters: int) -> Iterator[None]:
        """Around one model call: raises BudgetError when its prompt alone would exceed the tokens or the money left,
        calls in flight counted. What completions take beyond that is known, and counted, only when they are there."""
        self.check_time()
        tokens = max(1, characters // CHARACTERS_PER_TOKEN)
        estimate = Usage(total_tokens=tokens, cost=price_tokens(self.limits.prices, model, tokens))
        for budget in self._lineage():
            budget._check_spending(estimate)
        for budget in self._lineage():
            budget._in_flight += estimate
        try:
            yield
        finally:
            for budget in self._lineage():
                budget._in_flight = _without(budget._in_flight, estimate)

    def charge(self, model: str, usage: Usage) -> None:
        """Count what a call did take."""
        for budget in self._lineage():
            budget.usage_by_model[model] = budget.usage_by_model.get(model, Usage()) + usage

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
        for budget in self._lineage():
            if budget.parent is None and budget.remaining_time <= 0:
                raise budget.timed_out()

    def timed_out(self) -> BudgetError:
        return BudgetError(
            BudgetReason.TIMEOUT, f"the run took longer than its {self.limits.timeout:g} s; raise timeout"
        )

    def _check_spending(self, estimate: Usage) -> None:
        spent = self.usage + self._in_flight
        limits = self.limits
        if limits.max_tokens is not None and spent.total_tokens + estimate.total_tokens > limits.max_tokens:
            raise BudgetError(
                BudgetReason.TOKENS,
                f"the next model call would take the run beyond its {limits.max_tokens:,} tokens "
                f"({self.usage.total_tokens:,} are spent); raise max_tokens or ask a narrower question",
            )
        if limits.max_cost is not None and (spent.cost or 0.0) + (estimate.cost or 0.0) > limits.max_cost:
            raise BudgetError(
                BudgetReason.COST,
                f"the next model call would take the run beyond its {limits.max_cost:g} USD "
                f"({self.usage.cost or 0.0:.6g} are spent); raise max_cost or ask a narrower question",
            )

    def _lineage(self) -> Iterator[Budget]:
        """This budget and its ancestors, up to the root's."""
        budget: Budget | None = self
        while budget is not None:
            yield budget
            budget = budget.parent


def _without(total: Usage, part: Usage) -> Usage:
    return Usage(
        total_tokens=total.total_tokens - part.total_tokens,
        cost=None if total.cost is None else total.cost - (part.cost or 0.0),
    )
