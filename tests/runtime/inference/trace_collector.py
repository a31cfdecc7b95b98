"""A real OTLP/HTTP receiver on a free port: parses the protobuf bodies that it gets, or never answers them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Value = str | int | float | bool


@dataclass(frozen=True)
class Recorded:
    name: str
    trace: str  # hexadecimal, like all ids
    id: str
    parent: str  # "" at the root
    kind: str
    failed: bool
    attributes: dict[str, Value]


@dataclass
class TraceCollector:
    answers: bool = True
    endpoint: str = ""
    spans: list[Recorded] = field(default_factory=list)
    resource: dict[str, Value] = field(default_factory=dict)
    raw: bytes = b""
    waiting: int = 0  # requests that got no answer
    _runner: web.AppRunner | None = None

    async def start(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._export)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.endpoint = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def named(self, name: str) -> list[Recorded]:
        return [span for span in self.spans if span.name == name]

    def children(self, of: Recorded) -> list[Recorded]:
        return [span for span in self.spans if span.parent == of.id]

    async def _export(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self.answers:
            self.waiting += 1
            await asyncio.Event().wait()
        assert request.content_type == "application/x-protobuf"
        self.raw += body
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = _read(batch.resource.attributes)
            self.spans += [_record(span) for scope in batch.scope_spans for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


def _record(span: Span) -> Recorded:
    return Recorded(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Span.SpanKind.Name(span.kind),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_read(span.attributes),
    )


def _read(attributes: list[KeyValue]) -> dict[str, Value]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bool_value":
            return value.bool_value
        case _:
            return value.string_value
