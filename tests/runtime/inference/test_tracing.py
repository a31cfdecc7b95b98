"""Traces as a collector gets them: which spans there are, under which, with what; and that a collector stops no run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.inference.events import RunCompleted
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.asking import answer, failure, repl, run
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import COMPLETION_TOKENS, PROMPT_TOKENS, QUESTION, Failure, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys
from tests.runtime.inference.trace_collector import Recorded, TraceCollector
from tests.runtime.sandbox.eventually import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
CONTENT = "the-text-that-nobody-may-see"


@pytest.fixture
async def traced(settings: InferenceSettings, collector: TraceCollector, tmp_path: Path) -> AsyncIterator[Service]:
    exporting = settings.model_copy(update={"otlp_endpoint": collector.endpoint})
    async with run_service(exporting, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        yield service


async def request_span(collector: TraceCollector) -> Recorded:
    """Of the one run that was asked: it ends last."""
    await eventually(lambda: collector.named("POST /rlm/v1/runs"))
    (span,) = collector.named("POST /rlm/v1/runs")
    return span


def only(spans: list[Recorded]) -> Recorded:
    (span,) = spans
    return span


async def test_a_run_is_a_tree_of_spans_under_the_callers(
    traced: Service, collector: TraceCollector, model: ScriptedModel, sandbox: SandboxProcess
) -> None:
    model.enqueue(repl(f"x = llm_query('{CONTENT}')"), repl("FINAL(rlm_query('piece'))"))
    model.child_rule = lambda _: "FINAL(part)"
    traced.http.headers.update({"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "the-request"})
    assert await answer(traced, context=CONTENT) == "part"

    request = await request_span(collector)
    assert (request.parent, request.kind, request.failed) == (CALLER, "SPAN_KIND_SERVER", False)
    assert request.attributes["http.response.status_code"] == 200
    assert (request.attributes["rlm.request.id"], request.attributes["rlm.key.name"]) == ("the-request", "tester")

    agent = only(collector.children(request))
    assert (agent.name, agent.kind) == (f"invoke_agent {SERVED_MODEL}", "SPAN_KIND_INTERNAL")
    assert agent.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert agent.attributes["gen_ai.usage.input_tokens"] == 4 * PROMPT_TOKENS  # two turns, a sub-call, a child's turn
    assert (agent.attributes["rlm.run.iterations"], agent.attributes["rlm.run.sub_calls"]) == (2, 2)

    first, second = collector.children(agent)
    assert (first.name, second.name) == ("iteration 1", "iteration 2")
    turn, cell = collector.children(first)
    assert (turn.name, turn.kind) == ("chat root-model", "SPAN_KIND_CLIENT")
    assert turn.attributes["gen_ai.request.model"] == "root-model"
    assert turn.attributes["gen_ai.usage.output_tokens"] == COMPLETION_TOKENS
    assert turn.attributes["server.address"] == "127.0.0.1"
    assert (cell.name, cell.attributes["rlm.cell.status"]) == ("execute_tool repl", "ok")
    assert float(cell.attributes["rlm.sandbox.ran_s"]) > 0
    assert cell.attributes["rlm.sandbox.requests"] == 2
    sub_call = only(collector.children(cell))
    assert (sub_call.name, sub_call.attributes["rlm.role"]) == ("chat sub-model", "sub")

    child = only(collector.children(collector.children(second)[1]))
    assert (child.name, child.attributes["rlm.run.depth"]) == ("invoke_agent root-model", 1)
    assert [span.name for span in collector.children(only(collector.children(child)))] == ["chat root-model"]
    assert {span.trace for span in collector.spans} == {TRACE}
    assert collector.resource["service.name"] == "rlm-inference"

    sent_to_models = {name.lower() for call in model.requests for name in call.headers}
    assert not {"traceparent", "tracestate", "x-request-id"} & sent_to_models
    assert CONTENT.encode() not in collector.raw
    assert QUESTION.encode() not in collector.raw
    cells = [line for line in sandbox.log_lines() if line.get("trace_id") == TRACE and line["message"] == "cell"]
    assert {line["request_id"] for line in cells} == {"the-request"}
    assert len(cells) >= 4  # what begins the session counts too


async def test_a_trace_that_its_caller_does_not_sample_is_not_exported(
    traced: Service, collector: TraceCollector, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)")
    traced.http.headers.update({"traceparent": f"00-{TRACE}-{CALLER}-00"})
    await answer(traced)
    traced.http.headers.pop("traceparent")
    await answer(traced)
    await request_span(collector)
    assert TRACE not in {span.trace for span in collector.spans}


async def test_without_a_collector_the_callers_trace_still_reaches_the_sandboxs_log(
    service: Service, model: ScriptedModel, sandbox: SandboxProcess
) -> None:
    trace = "5bf92f3577b34da6a3ce929d0e0e4737"
    service.http.headers.update({"traceparent": f"00-{trace}-{CALLER}-01"})
    model.enqueue(repl("FINAL(1)"))
    assert await answer(service) == "1"
    assert [line for line in sandbox.log_lines() if line.get("trace_id") == trace]


async def test_content_is_recorded_where_the_setting_says_so_without_what_looks_like_a_key(
    settings: InferenceSettings, collector: TraceCollector, model: ScriptedModel, tmp_path: Path
) -> None:
    telling = settings.model_copy(update={"otlp_endpoint": collector.endpoint, "trace_content": True})
    model.enqueue(repl(f"print('sk-live-0123456789abcdef', '{CONTENT}'.upper())"), "FINAL(done)")
    async with run_service(telling, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        await answer(service)
        await request_span(collector)
    turn = collector.named("chat root-model")[0]
    assert QUESTION in str(turn.attributes["gen_ai.input.messages"])
    assert CONTENT in str(turn.attributes["gen_ai.output.messages"])
    cell = only(collector.named("execute_tool repl"))
    assert CONTENT in str(cell.attributes["gen_ai.tool.call.arguments"])
    assert CONTENT.upper() in str(cell.attributes["gen_ai.tool.call.result"])
    assert b"sk-live" not in collector.raw


async def test_a_failed_run_says_what_failed_in_each_span_by_class_and_never_in_the_providers_words(
    traced: Service, collector: TraceCollector, model: ScriptedModel
) -> None:
    model.enqueue(Failure(401))
    await failure(traced)
    await request_span(collector)
    agent, turn = only(collector.named(f"invoke_agent {SERVED_MODEL}")), only(collector.named("chat root-model"))
    assert (agent.failed, agent.attributes["error.type"]) == (True, "model_error")
    assert (turn.failed, turn.attributes["error.type"]) == (True, "AuthenticationError")
    assert b"sk-secret" not in collector.raw
    assert b"internal" not in collector.raw


async def test_a_cell_in_error_names_the_exceptions_class(
    traced: Service, collector: TraceCollector, model: ScriptedModel
) -> None:
    model.enqueue(repl("1 / 0"), "FINAL(x)")
    await answer(traced)
    await request_span(collector)
    cell = only(collector.named("execute_tool repl"))
    assert (cell.failed, cell.attributes["error.type"]) == (True, "ZeroDivisionError")


async def test_an_error_reply_fails_its_span_and_an_unknown_path_is_not_in_its_name(
    traced: Service, collector: TraceCollector
) -> None:
    await traced.http.get(f"{traced.url}/v1/{CONTENT}")
    await eventually(lambda: collector.spans)
    span = only(collector.spans)
    assert (span.name, span.attributes["http.response.status_code"]) == ("GET /{unknown}", 404)
    assert not span.failed


async def test_probes_and_scrapes_have_no_spans(
    traced: Service, collector: TraceCollector, model: ScriptedModel
) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        await traced.http.get(traced.url + path)
    await traced.http.get(f"{traced.url}/v1/models")
    await eventually(lambda: collector.spans)
    assert [span.name for span in collector.spans] == ["GET /v1/models"]


async def test_a_collector_that_never_answers_stops_neither_a_run_nor_the_end_of_the_service(
    traced: Service, collector: TraceCollector, model: ScriptedModel
) -> None:
    collector.answers = False
    model.enqueue(*[repl("FINAL('x'.join(llm_query_batched(['a', 'b'])))")] * 2)
    await run(traced)
    await eventually(lambda: collector.waiting)
    assert isinstance((await run(traced))[-1], RunCompleted)


async def test_a_collector_that_is_away_stops_no_run(
    settings: InferenceSettings,
    model: ScriptedModel,
    tmp_path: Path,
    refusing_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # seconds; for longer it would be tried again at the end
    away = settings.model_copy(update={"otlp_endpoint": f"http://127.0.0.1:{refusing_port}"})
    model.enqueue(*["FINAL(1)"] * 3)
    async with run_service(away, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        for _ in range(3):
            assert await answer(service) == "1"
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, None),
        ({"RLM_OTLP_ENDPOINT": "http://ours:4318/"}, "http://ours:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs:4318"}, "http://theirs:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://theirs/x"}, "http://theirs/x"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://theirs/x", "RLM_OTLP_ENDPOINT": "http://ours"},
            "http://ours/v1/traces",
        ),
    ],
)
def test_traces_go_to_our_setting_or_opentelemetrys_own(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], endpoint: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = InferenceSettings(model_name="m", model_base_url="http://127.0.0.1:9/v1")
    assert settings.traces_endpoint == endpoint
