"""Sends spans over OTLP/HTTP (protobuf), with OpenTelemetry's SDK and its own variables beside our settings.

Used by the inference plane and the operator, which load it only where an endpoint is set: the SDK takes half a second
to load. Spans wait in a bounded queue that a thread of the SDK empties: a collector that is slow or away costs spans,
and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

SHUTDOWN_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_tracer(service: str, scope: str, endpoint: str | None) -> AsyncIterator[Tracer]:
    """`service` is the name that traces show, unless `OTEL_SERVICE_NAME` is set; `scope` the package that makes spans;
    `endpoint` the whole address for traces, None for that of the SDK's variables. At the end what is queued gets a few
    seconds to be sent."""
    release = version("rlm-operator")
    resource = Resource({"service.name": service, "service.version": release})
    provider = TracerProvider(
        resource=resource.merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,  # it would wait for half a minute
    )
    exporter = OTLPSpanExporter(endpoint)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider.get_tracer(scope, release)
    finally:
        await _shut_down(provider, exporter)


async def _shut_down(provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
    """In a thread that nobody has to wait for, as a collector may be slow for longer than a pod has."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def shut_down() -> None:
        provider.shutdown()
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="tracing-shutdown", daemon=True).start()
    try:
        async with asyncio.timeout(SHUTDOWN_SECONDS):
            await done.wait()
    except TimeoutError:
        log.warning("the last spans could not be sent in time")
        exporter.shutdown()  # type: ignore[no-untyped-call]  # it would try for longer; the SDK left its type out
