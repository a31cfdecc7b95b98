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
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # seconds


def apply_options(limits: Limits, options: RunOptions, prefix: str) -> Limits:
    """The limits of one run. Raises InvalidRequestError for more than the service allows; `prefix` names the object."""
    return Limits(
        max_iterations=int(_at_most(limits.max_iterations, options.max_iterations, f"{prefix}.max_iterations")),
        max_subcalls=int(_at_most(limits.max_subcalls, options.max_subcalls, f"{prefix}.max_subcalls")),
        timeout=_at_most(limits.timeout, options.timeout, f"{prefix}.timeout"),
        max_consecutive_errors=limits.max_consecutive_errors,
    )


def _at_most(largest: float, asked: float | None, param: str) -> float:
    if asked is None:
        return largest
    if asked > largest:
        raise InvalidRequestError(f"{param} is {asked:g}; this service allows at most {largest:g}", param)
    return asked
