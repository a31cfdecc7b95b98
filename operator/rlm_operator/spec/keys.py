"""What one key of the endpoint's callers may ask for, and which keys see the runs of all."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rlm_operator.spec.base import Quantity, SpecModel

KeyName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""An entry of the Secret with the keys."""


def _positive(value: Quantity) -> Quantity:
    if value.value < 1:
        raise ValueError("keyLimits.fileBytes must be at least 1: write a quantity such as 256Mi, or remove it")
    return value


class KeyException(SpecModel):
    """Of one key: a field that is absent is as for every key, 0 lifts the limit."""

    requests_per_minute: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    concurrent_runs: Annotated[int | None, Field(ge=0, le=100_000)] = None
    file_bytes: Quantity | None = None


class KeyLimits(SpecModel):
    """Of every key and inference pod: a field that is absent is no limit."""

    requests_per_minute: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    concurrent_runs: Annotated[int | None, Field(ge=1, le=100_000)] = None
    file_bytes: Annotated[Quantity, AfterValidator(_positive)] | None = None
    exceptions: Annotated[dict[KeyName, KeyException], Field(default_factory=dict, max_length=100)]
