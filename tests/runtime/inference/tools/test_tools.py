"""Tools from end to end: code in a real sandbox calls a function, a real HTTP server is asked."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from aiohttp import web

from runtime.inference.events import CellCompleted, RunCompleted, ToolCompleted, ToolStarted
from tests.runtime.inference.asking import answer, failure, repl, run
from tests.runtime.inference.scripted_model import QUESTION, ScriptedModel
from tests.runtime.inference.tools.conftest import Offer
from tests.runtime.inference.tools.tool_server import Asked, ToolServer
from tests.runtime.inference.trace_collector import TraceCollector
from tests.runtime.sandbox.eventually import eventually

SECRET = "the-tools-own-key-17"


async def test_json_comes_back_as_a_value_and_text_as_a_string(
    offer: Offer, server: ToolServer, model: ScriptedModel
) -> None:
    order = server.declare("order", "/orders/{number}")
    order["parameters"] = {"type": "object", "properties": {"number": {"type": "integer"}, "full": {"type": "boolean"}}}
    service = await offer(order, server.declare("page", "/page", method="POST"))

    def rule(asked: Asked) -> web.Response:
        if asked.method == "POST":
            return web.Response(text=f"größer: {asked.body}")
        return web.json_response({"items": [1, 2], "of": asked.target})

    server.rule = rule
    code = "o = order(number=7, full=True)\nFINAL(f\"{sum(o['items'])} {o['of']} {page(text='hi')}\")"
    model.enqueue(repl(code))
    assert await answer(service) == '3 /orders/7?full=true größer: {"text":"hi"}'


async def test_the_root_prompt_lists_the_tools_and_childs_have_them_too(
    offer: Offer, server: ToolServer, model: ScriptedModel
) -> None:
    service = await offer(server.declare(description="Finds {things} by name."))
    model.enqueue(repl("FINAL(rlm_query('piece'))"))
    model.child_rule = lambda _: repl("FINAL(look_up(q='x')['target'])")
    assert await answer(service) == "/?q=x"
    for call in model.root_calls:
        assert "- `look_up`: Finds {things} by name." in call.messages[0]["content"]
        assert '"additionalProperties":true' in call.messages[0]["content"]


async def test_a_tools_name_is_restored_after_a_cell_that_took_it(
    offer: Offer, server: ToolServer, model: ScriptedModel
) -> None:
    service = await offer(server.declare())
    model.enqueue(repl("look_up = 5"), repl("FINAL(look_up()['method'] + ' ' + SHOW_VARS())"))
    events = await run(service)
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].answer == "GET no variables yet"
    assert "`look_up` is reserved" in next(event for event in events if isinstance(event, CellCompleted)).stderr


async def test_a_call_is_told_counted_traced_and_audited_without_its_texts_in_the_audit(
    offer: Offer, server: ToolServer, model: ScriptedModel, collector: TraceCollector
) -> None:
    with redirect_stdout(io.StringIO()) as stdout:
        service = await offer(server.declare(), audit_log=True, otlp_endpoint=collector.endpoint)
        model.enqueue(repl("look_up(q='what-is-asked')\nlook_up(q='again')\nFINAL('done')"))
        events = await run(service)
        audited = [line for line in map(json.loads, stdout.getvalue().splitlines()) if line["event"] == "tool_call"]
    started = [event for event in events if isinstance(event, ToolStarted)]
    ended = [event for event in events if isinstance(event, ToolCompleted)]
    assert started[0].arguments_preview == '{"q": "what-is-asked"}'
    assert (ended[0].tool, ended[0].http_status, ended[0].error) == ("look_up", 200, None)
    assert "/?q=what-is-asked" in ended[0].response_preview
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].sub_calls == 2
    assert await service.metric("rlm_tool_calls_total", status="ok", tool="look_up") == 2
    assert await service.metric("rlm_tool_call_duration_seconds_count", tool="look_up") == 2
    assert audited[0] | {"tool": "look_up", "is_error": False, "arguments_bytes": 22} == audited[0]
    assert audited[0]["run"] == events[0].run_id
    assert "what-is-asked" not in stdout.getvalue()
    await eventually(lambda: collector.named("POST /rlm/v1/runs"))
    (cell,) = collector.named("execute_tool repl")
    assert [span.name for span in collector.children(cell)] == ["execute_tool look_up"] * 2
    assert b"what-is-asked" not in collector.raw


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("look_up(number='seven')", "the arguments are not what look_up takes: ['number']:"),
        ("look_up()", "the arguments are not what look_up takes:"),
        ("look_up(number=1, other=2)", "the arguments are not what look_up takes:"),
        (
            "__import__('json').loads(__import__('sandbox').call('look_up', '[1]'))",
            "the arguments are not what look_up",
        ),
        ("__import__('json').loads(__import__('sandbox').call('look_up', '{'))", "the arguments are no JSON object"),
    ],
)
async def test_arguments_that_the_schema_does_not_allow_reach_nobody(
    offer: Offer, server: ToolServer, model: ScriptedModel, call: str, error: str
) -> None:
    tool = server.declare()
    tool["parameters"] = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    service = await offer(tool)
    model.enqueue(repl(f"FINAL({call})"))
    assert (await answer(service)).startswith(f"Error: {error}")
    assert server.asked == []
    assert await service.metric("rlm_tool_calls_total", status="failed", tool="look_up") == 1


def redirect(_: Asked) -> web.Response:
    return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"})


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (redirect, "the tool answered with a redirect, which is not followed (HTTP 302)"),
        (lambda _: web.Response(status=404, text=SECRET), "the tool refused the request (HTTP 404)"),
        (lambda _: web.Response(status=503, text=SECRET), "the tool failed (HTTP 503)"),
        (lambda _: web.Response(body=b"x" * 1001), "the tool's reply is larger than 1,000 bytes"),
        (lambda _: web.Response(text="{", content_type="application/json"), "the tool's reply could not be read"),
        (
            lambda _: web.Response(body=gzip.compress(b"x" * 10_000_000), headers={"Content-Encoding": "gzip"}),
            "the tool's reply could not be read",
        ),
    ],
)
async def test_what_a_server_does_wrong_is_an_error_string_without_its_words(
    offer: Offer, server: ToolServer, model: ScriptedModel, rule: Callable[[Asked], web.Response], error: str
) -> None:
    server.rule = rule
    service = await offer(server.declare(maxResponseBytes=1000))
    model.enqueue(repl("FINAL(look_up())"))
    assert await answer(service) == f"Error: {error}"
    assert len(server.asked) == 1


async def test_a_server_that_hangs_or_is_away_is_an_error_string(
    offer: Offer, server: ToolServer, model: ScriptedModel, refusing_port: int, tmp_path: Path
) -> None:
    away = {**server.declare("away"), "url": f"http://127.0.0.1:{refusing_port}/"}
    slow = server.declare("slow", "/hang", timeout=0.2)
    path = tmp_path / "more.json"
    hosts = [server.host, f"127.0.0.1:{refusing_port}"]
    path.write_text(json.dumps({"allowedHosts": hosts, "tools": [away, slow]}))
    service = await offer(server.declare(), tools_file=path)
    model.enqueue(repl("FINAL(away() + ' ' + slow())"))
    expected = "Error: the tool could not be reached Error: the tool did not answer within 0.2 s"
    assert await answer(service) == expected


async def test_a_secret_header_is_sent_read_anew_and_taken_out_of_what_the_tool_says(
    offer: Offer, server: ToolServer, model: ScriptedModel, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    headers = {"authorization": {"file": str(tmp_path / "secret"), "prefix": "Bearer "}}
    service = await offer(server.declare(secretHeaders=headers, headers={"x-plain": "1"}))
    server.rule = lambda asked: web.Response(text=f"you sent {asked.headers['Authorization']}")
    model.enqueue(repl("print(look_up())\nFINAL(look_up())"))
    events = await run(service)
    assert isinstance(events[-1], RunCompleted)
    assert events[-1].answer == "you sent Bearer [redacted]"
    assert SECRET not in "".join(event.model_dump_json() for event in events)
    assert (server.asked[0].headers["Authorization"], server.asked[0].headers["x-plain"]) == (f"Bearer {SECRET}", "1")
    assert "traceparent" not in {name.lower() for name in server.asked[0].headers}
    (tmp_path / "secret").write_text("rotated-key")
    model.enqueue(repl("look_up()\nFINAL('x')"))
    await answer(service)
    assert server.asked[-1].headers["Authorization"] == "Bearer rotated-key"
    for unusable in ("", "two\nlines", "größe"):
        (tmp_path / "secret").write_text(unusable)
        model.enqueue(repl("FINAL(look_up())"))
        assert (await answer(service)).endswith("secretHeaders holds no header's value")
    (tmp_path / "secret").unlink()
    model.enqueue(repl("FINAL(look_up())"))
    assert (await answer(service)).endswith("secretHeaders cannot be read")
    assert len(server.asked) == 3


async def test_calls_beyond_a_tools_own_number_fail_and_a_run_without_sub_calls_ends(
    offer: Offer, server: ToolServer, model: ScriptedModel
) -> None:
    service = await offer(server.declare(maxCallsPerRun=2))
    model.enqueue(repl("FINAL(' '.join(type(look_up()).__name__ for _ in range(4)))"))
    assert await answer(service) == "dict dict str str"
    assert len(server.asked) == 2
    model.enqueue(repl("while True:\n    try:\n        look_up()\n    except BaseException: pass"))
    stopped = await failure(service, options={"max_subcalls": 5})
    assert stopped.error.code == "max_subcalls"
    assert len(server.asked) == 4


async def test_a_childs_calls_count_for_the_whole_run(offer: Offer, server: ToolServer, model: ScriptedModel) -> None:
    service = await offer(server.declare(maxCallsPerRun=2))
    model.enqueue(repl("look_up()\nchild = rlm_query('piece')\nFINAL(child + ' ' + look_up())"))
    model.child_rule = lambda _: repl("FINAL(look_up()['method'])")
    assert await answer(service) == "GET Error: look_up may be called 2 times in a run"
    assert len(server.asked) == 2


async def test_short_inputs_have_a_session_where_there_are_tools(
    offer: Offer, server: ToolServer, model: ScriptedModel
) -> None:
    service = await offer(server.declare(), direct_below_tokens=10_000)
    model.enqueue(repl("FINAL(look_up()['method'])"))
    assert await answer(service) == "GET"


async def test_a_run_that_is_given_up_gives_up_its_tool_call(
    offer: Offer, server: ToolServer, model: ScriptedModel
) -> None:
    service = await offer(server.declare("slow", "/hang", timeout=300))
    model.enqueue(repl("slow()"))
    body = {"query": QUESTION, "stream": True}
    async with service.http.post(f"{service.url}/rlm/v1/runs", json=body):
        await server.hanging.wait()
        assert await service.metric("rlm_active_runs") == 1

    async def is_over() -> bool:
        return await service.metric("rlm_active_runs") == 0

    await eventually(is_over)
    assert await service.metric("rlm_inference_requests_total", status="cancelled") == 1
