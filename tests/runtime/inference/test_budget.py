"""What a run may spend, and with which reason it is stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from runtime.inference.budget import Budget, Limits
from runtime.inference.errors import BudgetError, BudgetReason, InvalidRequestError
from runtime.inference.options import RunOptions, apply_options
from runtime.inference.prices import Price
from runtime.inference.settings import InferenceSettings
from runtime.inference.usage import Usage

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


def test_child_spends_its_ancestors_budgets() -> None:
    clock = Clock()
    root = Budget(replace(LIMITS, max_depth=2), clock)
    clock.now += 4
    child = root.open_child()
    grandchild = child.open_child()
    assert [budget.limits.max_depth for budget in (root, child, grandchild)] == [2, 1, 0]
    assert child.limits.timeout == 6.0
    grandchild.take_subcalls(2)
    child.take_subcalls(1)
    grandchild.charge("m", Usage(total_tokens=7))
    assert [budget.subcalls for budget in (root, child, grandchild)] == [3, 3, 2]
    assert [budget.usage.total_tokens for budget in (root, child, grandchild)] == [7, 7, 7]
    assert root.iterations == 0
    with pytest.raises(BudgetError, match=r"3 more sub-calls, 2 of 5"):
        grandchild.take_subcalls(3)


def test_turns_of_a_child_beyond_its_first_are_sub_calls_of_its_parent() -> None:
    root = Budget(LIMITS, Clock())
    child = root.open_child()
    for _ in range(3):
        root.take_turn()
        child.take_turn()
    assert (root.subcalls, child.subcalls) == (2, 0)


def test_child_is_out_of_time_when_the_root_is() -> None:
    clock = Clock()
    child = Budget(LIMITS, clock).open_child()
    clock.now += 10.0
    with pytest.raises(BudgetError, match=r"longer than its 10 s"):
        child.take_turn()


def test_call_is_refused_when_its_prompt_and_those_in_flight_exceed_the_tokens() -> None:
    root = Budget(replace(LIMITS, max_tokens=100), Clock())
    child = root.open_child()
    with child.reserve("m", 4 * 60):
        with pytest.raises(BudgetError) as stopped, root.reserve("m", 4 * 41):
            pass
        assert stopped.value.reason is BudgetReason.TOKENS
        with root.reserve("m", 4 * 40):
            pass
    child.charge("m", Usage(total_tokens=100))
    with pytest.raises(BudgetError, match="100 are spent"), root.reserve("m", 0):
        pass


def test_call_is_refused_when_its_prompt_would_exceed_the_money() -> None:
    prices = {"dear": Price(input=1000, output=0), "cheap": Price(input=1, output=1)}
    budget = Budget(replace(LIMITS, max_cost=0.5, prices=prices), Clock())
    with pytest.raises(BudgetError) as stopped, budget.reserve("dear", 4 * 501):
        pass
    assert stopped.value.reason is BudgetReason.COST
    with budget.reserve("cheap", 4 * 501):
        pass


def test_options_may_set_a_limit_that_the_service_has_not_but_raise_none() -> None:
    limits = replace(LIMITS, max_depth=1)
    assert apply_options(limits, RunOptions(max_tokens=9, reuse_answers=False), "rlm").max_tokens == 9
    with pytest.raises(InvalidRequestError, match="at most 1"):
        apply_options(limits, RunOptions(max_depth=2), "rlm")
    with pytest.raises(InvalidRequestError, match="no price table"):
        apply_options(limits, RunOptions(max_cost=1.0), "rlm")


def test_prices_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_PRICES", '{"m": {"input": 1.5, "output": 6}}')
    settings = InferenceSettings(model_name="m", model_base_url="http://127.0.0.1:9/v1", max_cost=2)
    assert settings.limits.prices == {"m": Price(input=1.5, output=6)}


@pytest.mark.parametrize("prices", ["{}", '{"m": {"input": 1, "output": 1}}', "no json", '{"m": {"input": -1}}'])
def test_prices_that_cannot_bound_the_cost_are_refused(monkeypatch: pytest.MonkeyPatch, prices: str) -> None:
    monkeypatch.setenv("RLM_PRICES", prices)
    with pytest.raises(ValidationError):
        InferenceSettings(model_name="m", allowed_models="n", model_base_url="http://127.0.0.1:9/v1", max_cost=2)
