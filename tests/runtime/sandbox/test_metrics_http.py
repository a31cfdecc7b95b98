"""Counters move with what happens, by the names that dashboards use."""

from __future__ import annotations

import json
import os

from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.samples import parse_metrics


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
