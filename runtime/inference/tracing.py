"""The spans of requests and runs, by OpenTelemetry's conventions for generative AI.

One `Tracing` per process, made by `trace_export.py` and owned by the engine. Where nothing is exported every span is a
no-op. Names of the conventions: `invoke_agent` (a run or child run), `chat` (a model call), `execute_tool` (a cell or a
tool call). What people, models and code said is recorded only if `RLM_TRACE_CONTENT` is set.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime import logs
from runtime.inference.budget import Budget
from runtime.inference.errors import InferenceError
from runtime.inference.prompts import Message
from runtime.inference.usage import Usage
from runtime.redaction import redact
from runtime.web import REQUEST_ID_HEADER
from runtime.wire import CellReply
from runtime.wire import Status as CellStatus

CODE_TOOL: Final = "repl"
PROVIDER: Final = "openai"  # the format of the endpoints; who answers there is in `server.address`
MAX_CONTENT: Final = 64 * 1024  # characters of one attribute

_PROPAGATOR: Final = TraceContextTextMapPropagator()

Attributes = Mapping[str, str | int]


class Tracing:
    def __init__(self, tracer: trace.Tracer | None = None, *, with_content: bool = False) -> None:
        """`tracer` None: nothing is recorded; a caller's own trace goes on to the sandbox all the same."""
        self._tracer = tracer or trace.NoOpTracer()
        self._is_off = tracer is None
        self._with_content = with_content

    @contextmanager
    def request(self, method: str, route: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """An HTTP request, under its caller's span if there is one. `route` is the path's pattern, not the path."""
        attributes = {"http.request.method": method, "http.route": route}
        parent = _PROPAGATOR.extract({name.lower(): value for name, value in headers.items()})
        with self._span(f"{method} {route}", attributes, SpanKind.SERVER, parent) as span:
            context = span.get_span_context()
            token = logs.TRACE_ID.set(f"{context.trace_id:032x}" if context.is_valid else None)
            try:
                yield span
            finally:
                logs.TRACE_ID.reset(token)

    @contextmanager
    def run(self, agent: str, run_id: str, node: int, depth: int, budget: Budget) -> Iterator[Span]:
        """A run of the tree, with what it and its children spent."""
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.agent.name": agent,
            "rlm.run.id": run_id,
            "rlm.run.node": node,
            "rlm.run.depth": depth,
        }
        with self._span(f"invoke_agent {agent}", attributes) as span:
            try:
                yield span
            finally:
                _set_usage(span, budget.usage)
                span.set_attributes({"rlm.run.iterations": budget.iterations, "rlm.run.sub_calls": budget.subcalls})

    @contextmanager
    def iteration(self, number: int) -> Iterator[None]:
        """One turn: the model's reply, and everything that its code does."""
        with self._span(f"iteration {number}", {"rlm.iteration": number}):
            yield

    @contextmanager
    def model_call(self, model: str, role: str, base_url: str, messages: Sequence[Message]) -> Iterator[ModelCallSpan]:
        """With its retries."""
        address = urlsplit(base_url)
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": model,
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
            "rlm.role": role,
        }
        with self._span(f"chat {model}", attributes, SpanKind.CLIENT) as span:
            if self._with_content and span.is_recording():
                span.set_attribute("gen_ai.input.messages", _as_messages(messages))
            yield ModelCallSpan(span, with_content=self._with_content)

    @contextmanager
    def cell(self, code: str) -> Iterator[CellSpan]:
        """A cell from its beginning to its end, the calls that suspend it included."""
        with self.tool(CODE_TOOL, "extension") as span:
            if self._with_content:
                span.set_attribute("gen_ai.tool.call.arguments", _cut(code))
            yield CellSpan(span, with_content=self._with_content)

    @contextmanager
    def tool(self, name: str, kind: str = "function") -> Iterator[Span]:
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": kind}
        with self._span(f"execute_tool {name}", attributes) as span:
            yield span

    @contextmanager
    def _span(
        self,
        name: str,
        attributes: Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
    ) -> Iterator[Span]:
        """What ends it is said by its class or code alone: messages can hold what nobody should see. A span that nobody
        records changes nothing but the parent that it is given, and would be a good part of a small call's time."""
        if self._is_off and parent is None:
            yield trace.INVALID_SPAN
            return
        started = self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        )
        with started as span:
            try:
                yield span
            except BaseException as error:
                fail(span, _error_type(error))
                raise


class ModelCallSpan:
    def __init__(self, span: Span, *, with_content: bool) -> None:
        self._span, self._with_content = span, with_content

    def succeeded(self, text: str, usage: Usage) -> None:
        _set_usage(self._span, usage)
        if self._with_content:
            answered = [Message(role="assistant", content=text)]
            self._span.set_attribute("gen_ai.output.messages", _as_messages(answered))


class CellSpan:
    def __init__(self, span: Span, *, with_content: bool) -> None:
        self._span, self._with_content = span, with_content

    def ended(self, cell: CellReply, parts: Sequence[CellReply]) -> None:
        """`parts`: the replies of which the cell is put together, one for each time that it ran on."""
        self._span.set_attributes(
            {
                "rlm.cell.number": cell.cell,
                "rlm.cell.status": cell.status.value,
                "rlm.sandbox.requests": len(parts),
                "rlm.sandbox.queued_s": sum(part.timing.queued for part in parts),
                "rlm.sandbox.ran_s": cell.timing.ran,
                "rlm.sandbox.forked_s": sum(part.timing.forked for part in parts),
                "rlm.sandbox.cpu_s": cell.cpu_time,
                "rlm.sandbox.memory_bytes": cell.memory_bytes,
            }
        )
        if cell.status is not CellStatus.OK:
            fail(self._span, cell.error.type if cell.error is not None else cell.status.value)
        if self._with_content:
            self._span.set_attribute("gen_ai.tool.call.result", _cut(cell.stdout))


def fail(span: Span, error_type: str) -> None:
    """`error_type`: a class or a code, never a message."""
    span.set_attribute("error.type", redact(error_type[:100]))
    span.set_status(Status(StatusCode.ERROR))


def outgoing_headers() -> dict[str, str]:
    """What tells another service which request and which span asks: for the sandbox, never for models and tools."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    if (request_id := logs.REQUEST_ID.get()) is not None:
        headers[REQUEST_ID_HEADER] = request_id
    return headers


def _set_usage(span: Span, usage: Usage) -> None:
    span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
    span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
    if usage.cost is not None:
        span.set_attribute("rlm.cost_usd", usage.cost)


def _error_type(error: BaseException) -> str:
    match error:
        case InferenceError():
            return error.code
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return type(error).__name__


def _as_messages(messages: Sequence[Message]) -> str:
    """In the conventions' JSON form."""
    return json.dumps(
        [
            {"role": message["role"], "parts": [{"type": "text", "content": _cut(message["content"])}]}
            for message in messages
        ]
    )


def _cut(text: str) -> str:
    return redact(text[:MAX_CONTENT])
