"""What one run of a stack may spend, and how long it waits for what it needs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rlm_operator.spec.base import Duration, ModelName, SpecModel, distinct
from rlm_operator.spec.model import Price


def _run_timeout(value: Duration) -> Duration:
    if not 1 <= value.seconds <= 86400:
        raise ValueError("rlm.timeout must be from 1s to 24h: write a duration such as 1h")
    return value


def _wait(value: Duration) -> Duration:
    if value.seconds > 3600:
        raise ValueError(
            "rlm.sandboxStartTimeout and rlm.recoveryTimeout must be at most 1h: write a duration such as 120s"
        )
    return value


class Budgets(SpecModel):
    """Limits of a run, children included; `max_concurrency` and `max_child_runs` are per inference pod. With
    `direct_below_tokens` 0 every input gets a session; without `compact_above_tokens` the root model's context window
    decides."""

    max_iterations: Annotated[int, Field(ge=1, le=1000)] = 30
    max_depth: Annotated[int, Field(ge=0, le=10)] = 1
    max_child_runs: Annotated[int, Field(ge=1, le=1000)] = 16
    max_subcalls: Annotated[int, Field(ge=0, le=1000000)] = 1000
    max_tokens: Annotated[int | None, Field(ge=1, le=10_000_000_000)] = None
    max_cost_usd: Annotated[float | None, Field(alias="maxCostUSD", ge=0.000001, le=1_000_000)] = None
    prices: Annotated[dict[ModelName, Price], Field(default_factory=dict, max_length=64)]
    timeout: Annotated[Duration, AfterValidator(_run_timeout)] = Duration("1h")
    max_concurrency: Annotated[int, Field(ge=1, le=10000)] = 64
    max_consecutive_errors: Annotated[int, Field(ge=1, le=1000)] = 5
    allowed_models: Annotated[tuple[ModelName, ...], Field(max_length=64), AfterValidator(distinct)] = ()
    reuse_answers: bool = True
    direct_below_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    compact_above_tokens: Annotated[int | None, Field(ge=0, le=100_000_000)] = None
    sandbox_start_timeout: Annotated[Duration, AfterValidator(_wait)] = Duration("0s")
    recovery_timeout: Annotated[Duration, AfterValidator(_wait)] = Duration("60s")
