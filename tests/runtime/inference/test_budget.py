"""What a run may spend, and with which reason it is stopped."""

from __future__ import annotations

import pytest

from runtime.inference.budget import Budget, Limits
from runtime.inference.errors import BudgetError, BudgetReason, InvalidRequestError
from runtime.inference.options import RunOptions, apply_options

LIMITS = Limits(max_iterations=2, max_subcalls=5, timeout=10.0, max_consecutive_errors=3)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_iterations_run_out_without_an_error() -> None:
    budget = Budget(LIMITS, Clock())
    assert [budget.take_iteration() for _ in range(3)] == [True, True, False]
    assert budget.iterations == 2


def test_batch_that_does_not_fit_is_refused_whole() -> None:
    budget = Budget(LIMITS, Clock())
    budget.take_subcalls(4)
    with pytest.raises(BudgetError, match=r"2 more sub-calls, 1 of 5 were left") as stopped:
        budget.take_subcalls(2)
    assert stopped.value.reason is BudgetReason.SUBCALLS
    assert stopped.value.code == "max_subcalls"
    assert budget.subcalls == 4


@pytest.mark.parametrize("spend", ["iteration", "subcall"])
def test_nothing_is_begun_after_the_wall_time(spend: str) -> None:
    clock = Clock()
    budget = Budget(LIMITS, clock)
    clock.now += 10.0
    with pytest.raises(BudgetError) as stopped:
        budget.take_iteration() if spend == "iteration" else budget.take_subcalls(1)
    assert stopped.value.reason is BudgetReason.TIMEOUT
    assert stopped.value.http_status == 504


def test_errors_in_a_row_stop_the_run_and_a_success_starts_anew() -> None:
    budget = Budget(LIMITS, Clock())
    for ok in (False, False, True, False, False):
        budget.note_outcome(ok)
    with pytest.raises(BudgetError) as stopped:
        budget.note_outcome(ok=False)
    assert stopped.value.reason is BudgetReason.CONSECUTIVE_ERRORS


def test_options_lower_the_limits() -> None:
    limits = apply_options(LIMITS, RunOptions(max_iterations=1, timeout=0.5), "rlm")
    assert (limits.max_iterations, limits.max_subcalls, limits.timeout) == (1, 5, 0.5)


def test_options_above_the_limits_are_refused_by_name() -> None:
    with pytest.raises(InvalidRequestError, match="at most 5") as refused:
        apply_options(LIMITS, RunOptions(max_subcalls=6), "options")
    assert refused.value.param == "options.max_subcalls"
