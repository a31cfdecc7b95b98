"""Runs are listed, looked at, followed and cancelled at any replica."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from runtime.inference.events import parse_event
from tests.runtime.inference.peers.conftest import Caller, new_caller
from tests.runtime.inference.peers.replicas import Replica
from tests.runtime.inference.scripted_model import Gate, Hang, ScriptedModel

DEADLINE = 60.0


async def call(caller: Caller, replica: int, path: str = "", method: str = "GET", **request: Any) -> Any:
    url = f"{caller.replicas[replica].url}/rlm/v1/runs{path}"
    async with (
        aiohttp.ClientSession(headers=caller.headers) as http,
        http.request(method, url, **request) as response,
    ):
        assert response.status in {200, 202}, await response.text()
        return await response.json()


async def begin(caller: Caller, replica: int) -> str:
    detail = await call(caller, replica, method="POST", json={"query": "How many?", "background": True})
    return str(detail["id"])


async def end(caller: Caller, replica: int, run_id: str) -> list[dict[str, Any]]:
    """The run's events as this replica tells them, once it has ended."""
    url = f"{caller.replicas[replica].url}/rlm/v1/runs/{run_id}/events"
    async with (
        asyncio.timeout(DEADLINE),
        aiohttp.ClientSession(headers=caller.headers) as http,
        http.get(url, headers={"Last-Event-ID": "0"}) as response,
    ):
        assert response.content_type == "text/event-stream"
        lines = (await response.text()).splitlines()
    return [parse_event(line[6:]).model_dump() for line in lines if line.startswith("data: ")]


async def test_running_run_is_seen_and_followed_through_another_replica(caller: Caller, model: ScriptedModel) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    run_id = await begin(caller, 0)
    await model.until(lambda scripted: len(scripted.requests) == 1)
    assert (await call(caller, 1, f"/{run_id}"))["status"] == "running"
    following = asyncio.create_task(end(caller, 2, run_id))
    gate.set()
    told = await following
    assert (told[0]["seq"], told[-1]["answer"]) == (1, "42")
    assert told == await end(caller, 0, run_id)
    assert (await call(caller, 1, f"/{run_id}"))["answer"] == "42"


async def test_cancel_through_another_replica_ends_the_run(caller: Caller, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    run_id = await begin(caller, 0)
    await model.until(lambda scripted: scripted.hanging == 1)
    assert (await call(caller, 1, f"/{run_id}/cancel", "POST"))["status"] == "cancelled"
    await model.until(lambda scripted: scripted.abandoned == 1)


async def test_list_has_the_runs_of_all_replicas_newest_first_and_page_by_page(
    caller: Caller, replicas: list[Replica], keys: Path, model: ScriptedModel
) -> None:
    made = []
    for number in range(5):
        model.enqueue("FINAL(42)")
        made.append(await begin(caller, number % 3))
        await end(caller, number % 3, made[-1])
    boss, stranger = new_caller(replicas, keys, "admin"), new_caller(replicas, keys)
    for replica in range(3):
        assert [run["id"] for run in (await call(caller, replica))["data"]] == made[::-1]
        assert {*made} <= {run["id"] for run in (await call(boss, replica, "?limit=100"))["data"]}
        assert (await call(stranger, replica))["data"] == []
        seen, after = [], ""
        while True:
            page = await call(caller, replica, f"?limit=2{after}")
            seen += [run["id"] for run in page["data"]]
            after = f"&after={seen[-1]}"
            if not page["has_more"]:
                break
        assert seen == made[::-1]
    assert (await call(caller, 1, "?status=failed"))["data"] == []
