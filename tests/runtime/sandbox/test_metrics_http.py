"""Counters move with what happens, by the names that dashboards use."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator

import pytest

from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.samples import parse_metrics
from tests.runtime.sandbox.server import run_server


async def test_each_ending_of_a_cell_is_counted(client: SandboxClient) -> None:
    before = await client.metrics()
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    await client.execute("1 / 0", session)
    await client.execute("while True: pass", session, timeout=0.3)
    await client.execute("import os; os._exit(1)", session)
    reply = await client.execute("ask()", session)
    assert reply.call is not None
    await client.resume(session, reply.call.id, result="")
    after = await client.metrics()

    def grown(name: str, label: str = "") -> float:
        return after[name, label] - before.get((name, label), 0.0)

    statuses = {
        label: grown("wasm_execution_requests_total", label)
        for label in ("ok", "error", "timeout", "crashed", "suspended")
    }
    assert statuses == {"ok": 2, "error": 1, "timeout": 1, "crashed": 1, "suspended": 1}
    assert {label: grown("wasm_execution_errors_total", label) for label in ("error", "timeout", "crashed")} == {
        "error": 1,
        "timeout": 1,
        "crashed": 1,
    }
    assert grown("wasm_execution_timeout_total") == 1
    assert grown("wasm_rollbacks_total") == 2
    assert grown("wasm_host_calls_total") == 1
    assert grown("wasm_execution_duration_seconds_count") == 5
    assert grown("wasm_cpu_usage_seconds") > 0
    assert after["wasm_memory_usage_bytes", ""] > 10_000_000
    assert after["wasm_session_start_seconds_count", ""] > before["wasm_session_start_seconds_count", ""]


async def test_a_refused_request_is_counted_by_its_code(client: SandboxClient) -> None:
    before = (await client.metrics()).get(("wasm_requests_refused_total", "session_not_found"), 0.0)
    await client.request("GET", f"/sessions/{new_id()}")
    assert (await client.metrics())["wasm_requests_refused_total", "session_not_found"] == before + 1


async def test_sessions_are_counted_by_state(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    before = (await client.metrics())["wasm_sessions", "suspended"]
    await client.execute("ask()", session)
    assert (await client.metrics())["wasm_sessions", "suspended"] == before + 1
    await client.delete(session)
    assert (await client.metrics())["wasm_sessions", "suspended"] == before


async def test_the_exposition_is_parsed_by_prometheus_own_parser(client: SandboxClient) -> None:
    reply = await client.request("GET", "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert parse_metrics(reply.body.decode())["wasm_hardening_measures_missing", ""] >= 0


async def test_each_missing_hardening_measure_is_counted_and_named_by_the_readiness(client: SandboxClient) -> None:
    notes = json.loads((await client.request("GET", "/readyz")).body)["notes"]
    assert all(note.startswith("missing: ") for note in notes)
    assert any("own uid" in note for note in notes) == (os.geteuid() != 0)
    assert (await client.metrics())["wasm_hardening_measures_missing", ""] == len(notes)


@pytest.fixture
async def narrow() -> AsyncIterator[SandboxClient]:
    """Of a service with one slot and three spares."""
    with run_server(max_concurrent_executions=1, spares=3, idle_timeout_seconds=10, queue_timeout_seconds=60) as server:
        async with connect(server) as client:
            yield client


async def test_waiting_cells_running_sessions_and_spares_are_gauges(narrow: SandboxClient) -> None:
    async def gauge(name: str, label: str, value: float) -> bool:
        return (await narrow.metrics())[name, label] == value

    await eventually(lambda: gauge("wasm_spares", "", 3))
    session = new_id()
    running = asyncio.create_task(narrow.execute("while True: pass", session))
    await eventually(lambda: gauge("wasm_sessions", "running", 1))
    waiting = asyncio.create_task(narrow.execute("1"))
    await eventually(lambda: gauge("wasm_execution_queue_length", "", 1))
    seen = time.perf_counter()
    assert await gauge("wasm_execution_queue_length", "", 1)
    waited = time.perf_counter() - seen
    await narrow.interrupt(session)
    await running
    assert (await waiting).timing.queued >= waited
    assert await gauge("wasm_execution_queue_length", "", 0)
    assert await gauge("wasm_sessions", "running", 0)
    assert await gauge("wasm_sessions", "idle", 1)
    await eventually(lambda: gauge("wasm_sessions", "idle", 0))
    assert await gauge("wasm_sessions_expired_total", "idle", 1)


async def test_memory_is_that_of_the_live_sessions(client: SandboxClient) -> None:
    before = (await client.metrics())["wasm_memory_usage_bytes", ""]
    session = new_id()
    reply = await client.execute("x = bytes(60_000_000)", session)
    assert (await client.metrics())["wasm_memory_usage_bytes", ""] == before + reply.memory_bytes
    await client.delete(session)
    assert (await client.metrics())["wasm_memory_usage_bytes", ""] == before


async def test_running_time_is_that_of_the_replies_killed_cells_included(client: SandboxClient) -> None:
    before = await client.metrics()
    session = new_id()
    replies = [await client.execute(code, session, timeout=0.5) for code in ("1", "while True: pass")]
    after = await client.metrics()
    name = "wasm_execution_duration_seconds_sum", ""
    assert after[name] - before[name] == pytest.approx(sum(reply.execution_time for reply in replies))


async def test_the_fork_of_the_checkpoint_before_it_is_in_a_cells_timing(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("1", session)
    reply = await client.execute("1", session)
    assert reply.timing.forked > 0
    assert reply.timing.ran == reply.execution_time
