"""Whether and where a stack's inference pods send traces of runs."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.base import SpecModel, addressable

Collector = Annotated[
    str, Field(max_length=512, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(addressable)
]


class Tracing(SpecModel):
    """Without a collector there are no traces."""

    otlp_endpoint: Collector | None = None
    content: bool = False

    @model_validator(mode="after")
    def _sent(self) -> Self:
        if self.content and self.otlp_endpoint is None:
            raise ValueError(
                "tracing.content has no effect without a collector: add tracing.otlpEndpoint, or remove content"
            )
        return self
