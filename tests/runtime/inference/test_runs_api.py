"""Runs as things: listed, looked at, followed from any event, cancelled, started in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.inference.events import TrajectoryEvent, parse_event
from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.scripted_model import Failure, Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys

DEADLINE = 60.0
UNKNOWN = "0" * 32
OTHER, ADMIN = {"Authorization": "Bearer other-key"}, {"Authorization": "Bearer admin-key"}


@pytest.fixture
async def service(settings: InferenceSettings, tmp_path: Path) -> AsyncIterator[Service]:
    keys = write_keys(tmp_path / "keys", tester=API_KEY, other="other-key", boss="admin-key")
    with_admin = settings.model_copy(update={"admin_keys": "boss"})
    async with run_service(with_admin, keys, Pace(heartbeat=0.1)) as running:
        yield running


async def call(service: Service, method: str, path: str, **request: Any) -> tuple[int, Any]:
    async with service.http.request(method, f"{service.url}/rlm/v1/runs{path}", **request) as response:
        return response.status, await response.json()


async def get(service: Service, path: str, **request: Any) -> Any:
    status, body = await call(service, "GET", path, **request)
    assert status == 200, body
    return body


async def begin(service: Service, question: str = "How many?", **body: Any) -> str:
    status, detail = await call(service, "POST", "", json={"query": question, "background": True, **body})
    assert (status, detail["status"]) == (202, "running")
    return str(detail["id"])


async def events(service: Service, run_id: str, query: str = "", **headers: str) -> list[TrajectoryEvent]:
    """All that the stream gives until it ends."""
    url = f"{service.url}/rlm/v1/runs/{run_id}/events{query}"
    async with asyncio.timeout(DEADLINE), service.http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        blocks = [block.split("\n") for block in (await response.text()).split("\n\n") if block and block[0] != ":"]
    parsed = []
    for number, name, data in blocks:
        event = parse_event(data.removeprefix("data: "))
        assert (number, name) == (f"id: {event.seq}", f"event: {event.type}")
        parsed.append(event)
    return parsed


async def finish(service: Service, run_id: str) -> Any:
    """The detail of the run, once it has ended and is stored."""
    await events(service, run_id)
    async with asyncio.timeout(DEADLINE):
        while True:
            entries = await service.storage.entries(f"run-index/tester/{run_id}")
            if entries and not any("/running." in entry.path for entry in entries):
                return await get(service, f"/{run_id}")
            await asyncio.sleep(0.01)


async def test_background_run_goes_on_with_nobody_attending_and_is_looked_at_later(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nprint(len(context))\n```", "```repl\nFINAL(llm_query('a') + llm_query('b'))\n```")
    question = "How many? " + "x" * 500
    detail = await finish(service, await begin(service, question, context="c" * 1000))
    assert (detail["status"], detail["answer"], detail["stop_reason"]) == ("completed", "re: are: b", "final")
    assert (detail["question"], detail["context"]) == (
        question,
        {"type": "text", "characters": 1000, "documents": None},
    )
    assert (detail["iterations"], detail["sub_calls"], detail["usage"]["total_tokens"]) == (2, 2, 52)
    assert {name: usage["total_tokens"] for name, usage in detail["usage_by_model"].items()} == {
        "root-model": 26,
        "sub-model": 26,
    }
    assert detail["created_at"] < detail["finished_at"] == pytest.approx(detail["created_at"] + detail["duration_s"], 1)
    assert (detail["key_name"], detail["model"], detail["error"]) == ("tester", SERVED_MODEL, None)
    assert (detail["limits"]["max_iterations"], detail["limits"]["max_cost"]) == (6, None)
    [summary] = (await get(service, ""))["data"]
    assert summary["question"] == question[:300]
    assert summary["answer_preview"] == "re: are: b"
    assert set(detail) - set(summary) == {
        *{"answer", "partial_answer", "stop_reason", "usage_by_model", "limits"},
        *{"recoveries", "diverged"},
    }
    assert all(summary[name] == detail[name] for name in set(summary) - {"question"})


async def test_runs_of_every_kind_of_request_are_listed_newest_first_in_pages(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)", "FINAL(3)", Failure(401), Hang())
    expected = []
    for stream in (False, True):
        async with service.http.post(
            f"{service.url}/rlm/v1/runs", json={"query": f"native {stream}", "stream": stream}
        ) as response:
            await response.read()
        expected.append(f"native {stream}")
    async with service.openai() as client:
        await client.chat.completions.create(model=SERVED_MODEL, messages=[{"role": "user", "content": "chat"}])
    await finish(service, await begin(service, "fails"))
    running = await begin(service, "hangs")
    await model.until(lambda scripted: scripted.hanging == 1)
    expected = ["hangs", "fails", "chat", *reversed(expected)]
    assert [run["question"] for run in (await get(service, ""))["data"]] == expected
    seen: list[str] = []
    page: Any = {"has_more": True}
    while page["has_more"]:
        cursor = f"&after={page['data'][-1]['id']}" if seen else ""
        page = await get(service, f"?limit=2{cursor}")
        assert 1 <= len(page["data"]) <= 2
        seen += [run["question"] for run in page["data"]]
    assert seen == expected
    for status, questions in [("running", expected[:1]), ("failed", expected[1:2]), ("completed", expected[2:])]:
        assert [run["question"] for run in (await get(service, f"?status={status}"))["data"]] == questions
    await call(service, "POST", f"/{running}/cancel")
    assert [run["id"] for run in (await get(service, "?status=cancelled"))["data"]] == [running]


async def test_failed_run_shows_its_error_and_what_it_had(service: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\nanswer['content'] = 'half'\nllm_query_batched(['p'] * 9)\n```")
    detail = await finish(service, await begin(service, options={"max_subcalls": 8}))
    assert (detail["status"], detail["error"]["code"]) == ("failed", "max_subcalls")
    assert (detail["partial_answer"], detail["answer"], detail["iterations"]) == ("half", None, 1)
    assert detail["usage"]["total_tokens"] == 13


async def test_events_replay_from_any_point_live_and_after_the_end(service: Service, model: ScriptedModel) -> None:
    gate = asyncio.Event()
    model.enqueue("```repl\nprint(1)\n```", Gate(gate, "FINAL(42)"))
    run_id = await begin(service)
    await model.until(lambda scripted: len(scripted.root_calls) == 2)
    readers = [
        asyncio.create_task(events(service, run_id)),
        asyncio.create_task(events(service, run_id, "?after=2")),
        asyncio.create_task(events(service, run_id, **{"Last-Event-ID": "3"})),
    ]
    gate.set()
    whole, from_three, from_four = [await reader for reader in readers]
    assert [event.seq for event in whole] == list(range(len(whole)))
    assert (whole[0].type, whole[-1].type) == ("run.started", "run.completed")
    assert (from_three, from_four) == (whole[3:], whole[4:])
    await finish(service, run_id)
    assert await events(service, run_id) == whole
    assert await events(service, run_id, "?after=1", **{"Last-Event-ID": "3"}) == whole[2:]
    assert await events(service, run_id, **{"Last-Event-ID": str(whole[-1].seq)}) == []


async def test_reader_of_events_who_leaves_does_not_end_the_run_and_silence_has_heartbeats(
    service: Service, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    run_id = await begin(service)
    async with service.http.get(f"{service.url}/rlm/v1/runs/{run_id}/events") as response:
        while (await response.content.readline()) != b": ping\n":
            pass
        response.close()
    gate.set()
    assert (await finish(service, run_id))["answer"] == "42"


async def test_dropped_stream_of_a_background_run_does_not_end_it(service: Service, model: ScriptedModel) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    body = {"query": "q", "stream": True, "background": True}
    async with service.http.post(f"{service.url}/rlm/v1/runs", json=body) as response:
        await model.until(lambda scripted: len(scripted.root_calls) == 1)
        response.close()
    [run] = (await get(service, ""))["data"]
    gate.set()
    assert (await finish(service, run["id"]))["answer"] == "42"


async def test_cancel_ends_the_model_call_and_may_be_repeated(service: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\nprint(1)\n```", Hang())
    run_id = await begin(service)
    await model.until(lambda scripted: scripted.hanging == 1)
    following = asyncio.create_task(events(service, run_id))
    for _ in range(2):
        status, detail = await call(service, "POST", f"/{run_id}/cancel")
        assert (status, detail["status"], detail["error"]["code"]) == (200, "cancelled", "cancelled")
    await model.until(lambda scripted: scripted.abandoned == 1)
    assert (await following)[-1].type == "run.failed"
    assert (await finish(service, run_id))["usage"]["total_tokens"] == 13
    assert detail["iterations"] == 2


async def test_cancel_of_an_attended_run_is_409_for_who_waits_and_of_a_finished_one_changes_nothing(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue(Hang(), "FINAL(42)")
    waiting = asyncio.create_task(call(service, "POST", "", json={"query": "q"}))
    await model.until(lambda scripted: scripted.hanging == 1)
    [run] = (await get(service, ""))["data"]
    await call(service, "POST", f"/{run['id']}/cancel")
    status, body = await waiting
    assert (status, body["error"]["code"]) == (409, "cancelled")
    done = await finish(service, await begin(service))
    assert await call(service, "POST", f"/{done['id']}/cancel") == (200, done)


async def test_dropped_stream_leaves_a_cancelled_run(service: Service, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    async with service.http.post(f"{service.url}/rlm/v1/runs", json={"query": "q", "stream": True}) as response:
        await model.until(lambda scripted: scripted.hanging == 1)
        response.close()
    [run] = (await get(service, ""))["data"]
    detail = await finish(service, run["id"])
    assert (detail["status"], "nobody waited" in detail["error"]["message"]) == ("cancelled", True)


async def test_runs_belong_to_the_key_that_made_them_and_an_admin_sees_all(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)", Hang())
    finished, running = await begin(service), ""
    await finish(service, finished)
    running = await begin(service)
    assert (await get(service, "", headers=OTHER))["data"] == []
    assert [run["id"] for run in (await get(service, "", headers=ADMIN))["data"]] == [running, finished]
    for run_id in (finished, running):
        for method, path in [("GET", ""), ("GET", "/events"), ("POST", "/cancel")]:
            status, body = await call(service, method, f"/{run_id}{path}", headers=OTHER)
            assert (status, body["error"]["code"]) == (404, "run_not_found")
        assert (await call(service, "GET", f"?after={run_id}", headers=OTHER))[0] == 404
        assert (await get(service, f"/{run_id}", headers=ADMIN))["key_name"] == "tester"
    assert (await call(service, "POST", f"/{running}/cancel", headers=ADMIN))[1]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "status", "code", "param"),
    [
        (f"?after={UNKNOWN}", 404, "owner_lost", "after"),
        ("?after=x", 404, "run_not_found", "after"),
        ("?limit=0", 400, "invalid_request", "limit"),
        ("?limit=101", 400, "invalid_request", "limit"),
        ("?status=done", 400, "invalid_request", "status"),
        ("?other=1", 400, "invalid_request", "other"),
        ("/x", 404, "run_not_found", None),
        ("/..%2F..%2Fx", 404, "run_not_found", None),
        (f"/{UNKNOWN}", 404, "owner_lost", None),
        (f"/{UNKNOWN}/events", 404, "owner_lost", None),
        (f"/{UNKNOWN}/events?after=x", 400, "invalid_request", "after"),
    ],
)
async def test_what_is_not_there_is_refused_in_openais_envelope(
    service: Service, path: str, status: int, code: str, param: str | None
) -> None:
    answered, body = await call(service, "GET", path)
    assert (answered, body["error"]["code"], body["error"]["param"]) == (status, code, param)


async def test_last_event_id_that_is_no_number_is_400(service: Service, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)")
    run_id = await begin(service)
    status, body = await call(service, "GET", f"/{run_id}/events", headers={"Last-Event-ID": "x"})
    assert (status, body["error"]["param"]) == (400, "after")
