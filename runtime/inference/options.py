"""What a caller may set for one run, below the limits of the service.

Part of both request bodies: the `rlm` object of chat completions and `options` of /rlm/v1/runs.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from runtime.inference.budget import Limits
from runtime.inference.errors import InvalidRequestError


class RunOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_iterations: int | None = Field(default=None, ge=1)
    max_subcalls: int | None = Field(default=None, ge=0)
    max_depth: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    max_cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # USD
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # seconds
    fork_children: bool = False  # child runs begin with a copy of the asking run's session
    reuse_answers: bool | None = None  # whether identical sub-calls are asked once


def apply_options(limits: Limits, options: RunOptions, prefix: str) -> Limits:
    """The limits of one run. Raises InvalidRequestError for more than the service allows; `prefix` names the object."""
    if options.max_cost is not None and not limits.prices:
        raise InvalidRequestError("this service has no price table, so it cannot keep a max_cost", f"{prefix}.max_cost")
    tokens = _at_most_of_any(limits.max_tokens, options.max_tokens, f"{prefix}.max_tokens")
    return Limits(
        max_iterations=int(_at_most(limits.max_iterations, options.max_iterations, f"{prefix}.max_iterations")),
        max_subcalls=int(_at_most(limits.max_subcalls, options.max_subcalls, f"{prefix}.max_subcalls")),
        timeout=_at_most(limits.timeout, options.timeout, f"{prefix}.timeout"),
        max_consecutive_errors=limits.max_consecutive_errors,
        max_depth=int(_at_most(limits.max_depth, options.max_depth, f"{prefix}.max_depth")),
        max_tokens=None if tokens is None else int(tokens),
        max_cost=_at_most_of_any(limits.max_cost, options.max_cost, f"{prefix}.max_cost"),
        fork_children=options.fork_children,
        prices=limits.prices,
        reuse_answers=limits.reuse_answers if options.reuse_answers is None else options.reuse_answers,
    )


def _at_most_of_any(largest: float | None, asked: float | None, param: str) -> float | None:
    """Of a limit that the service may not have."""
    return asked if largest is None else _at_most(largest, asked, param)


def _at_most(largest: float, asked: float | None, param: str) -> float:
    if asked is None:
        return largest
    if asked > largest:
        raise InvalidRequestError(f"{param} is {asked:g}; this service allows at most {largest:g}", param)
    return asked
