"""The spans of passes over resources, and of the requests to the API server that they make.

One `Tracing` per process, opened by `process.py`. Where nothing is exported every span is a no-op. Names of objects are
in spans, their content never is.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

SERVICE_NAME: Final = "rlm-operator"
_ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_ATTRIBUTES: Final = {
    "namespace": "k8s.namespace.name",
    "stack": "rlm.stack",
    "pool": "rlm.pool",
    "reconcile_id": "rlm.reconcile.id",
}


class Tracing:
    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        """`tracer` None: nothing is recorded."""
        self._tracer = tracer or trace.NoOpTracer()

    @contextmanager
    def reconcile(self, kind: str, fields: Mapping[str, str]) -> Iterator[Span]:
        """A pass over a resource of a kind; `fields` are those of its log lines."""
        attributes = {_ATTRIBUTES[name]: value for name, value in fields.items()}
        with self._tracer.start_as_current_span(
            f"reconcile {kind}", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    @contextmanager
    def request(self, method: str, path: str) -> Iterator[Span]:
        """A request to the API server during a pass; the lists and renewals between passes are in no trace."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield trace.INVALID_SPAN
            return
        attributes = {"http.request.method": method, "url.path": path}
        with self._tracer.start_as_current_span(
            f"{method} {_collection(path)}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span


def end_pass(span: Span, result: str) -> None:
    """`result` as in the metric of passes."""
    span.set_attribute("rlm.reconcile.result", result)
    if result == "failed":
        span.set_status(Status(StatusCode.ERROR))


def end_request(span: Span, status: int) -> None:
    """`status`: of HTTP. Not finding what one looks for is no error."""
    span.set_attribute("http.response.status_code", status)
    if status >= 400 and status != 404:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))


def current_trace_id() -> str | None:
    """32 hexadecimal digits; None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


@asynccontextmanager
async def open_tracing(endpoint: str | None) -> AsyncIterator[Tracing]:
    """Off without an endpoint, such as `http://collector:4318`; without one of the settings, OpenTelemetry's own
    variables are asked for one."""
    if endpoint is None and not _is_asked_for(os.environ):
        yield Tracing()
        return
    from runtime.otlp import open_tracer  # slow to load

    traces = None if endpoint is None else f"{endpoint.rstrip('/')}/v1/traces"
    async with open_tracer(SERVICE_NAME, "rlm_operator", traces) as tracer:
        yield Tracing(tracer)


def _is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the SDK would know where to send traces. An empty variable counts as none, as it does for the SDK."""
    wanted = environment.get("OTEL_TRACES_EXPORTER") != "none" and environment.get("OTEL_SDK_DISABLED") != "true"
    return wanted and any(environment.get(name) for name in _ENDPOINT_VARIABLES)


def _collection(path: str) -> str:
    """The plural in the path of a collection or an object, with its subresource."""
    parts = path.strip("/").split("/")
    if "namespaces" not in parts[:-2]:
        return parts[-1]
    _, _, plural, *rest = parts[parts.index("namespaces") :]
    return "/".join([plural, *rest[1:]])
