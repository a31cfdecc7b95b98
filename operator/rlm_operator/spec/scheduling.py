"""Where the pods of a pool run, in words of this product; `podTemplate` has the general ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rlm_operator.spec.base import SpecModel

RuntimeClass = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class Scheduling(SpecModel):
    """Cheap nodes, near the callers, in a stronger runtime, spread out."""

    spot: bool = False
    co_locate_with_inference: bool = True
    runtime_class_name: RuntimeClass | None = None
    topology_spread: bool = True
