"""The inference plane's traces, sent by `runtime.otlp`. Used by the engine, which loads it only with an endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from runtime.inference.tracing import Tracing
from runtime.otlp import open_tracer

SERVICE_NAME: Final = "rlm-inference"


@asynccontextmanager
async def open_export(endpoint: str, *, with_content: bool) -> AsyncIterator[Tracing]:
    """`endpoint`: the whole address for traces."""
    async with open_tracer(SERVICE_NAME, "runtime.inference", endpoint) as tracer:
        yield Tracing(tracer, with_content=with_content)
