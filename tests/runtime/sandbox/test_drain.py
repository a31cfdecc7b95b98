"""SIGTERM: not ready at once, no new sessions, what runs may finish, then a clean end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from runtime.wire import ErrorCode
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import alive, descendants
from tests.runtime.sandbox.server import SandboxServer, run_server


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with run_server(drain_seconds=30, spares=1) as running:
        yield running


async def readiness(client: SandboxClient) -> int:
    return (await client.request("GET", "/readyz")).status


async def test_running_and_suspended_cells_finish_and_new_sessions_are_refused(server: SandboxServer) -> None:
    async with connect(server) as client:
        running, suspended = new_id("running"), (await client.create(host_functions=["ask"])).session_id
        await client.execute("x = 1", running)
        call = (await client.execute("ask()", suspended)).call
        assert call is not None
        cell = asyncio.create_task(client.execute("import time; time.sleep(1.5); x + 1", running))

        async def runs() -> bool:
            return (await client.describe(running)).state == "running"

        await eventually(runs)
        server.process.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            return await readiness(client) == 503

        await eventually(draining)
        for path, body in (
            ("/sessions", {}),
            ("/execute", {"code": "1"}),
            ("/execute", {"code": "1", "session_id": new_id()}),
        ):
            await client.refused(503, ErrorCode.DRAINING, "POST", path, json=body)
        assert (await client.resume(suspended, call.id, result="late")).result == "'late'"
        assert (await cell).result == "2"
        processes = descendants(server.pid)
        assert await server.ended() == 0
        await eventually(lambda: not alive(processes))


async def test_without_work_it_ends_at_once_with_status_0(server: SandboxServer) -> None:
    async with connect(server) as client:
        await client.execute("x = 1", new_id())
    server.process.send_signal(signal.SIGTERM)
    assert await server.ended() == 0
    assert [line["message"] for line in server.log_lines()][-1] == "stopped"


async def test_a_cell_that_outlasts_the_drain_is_interrupted_and_the_service_still_ends_well() -> None:
    with run_server(drain_seconds=0.2, spares=0) as server:
        async with connect(server) as client:
            session = new_id()
            await client.execute("x = 1", session)
            cell = asyncio.create_task(
                client.request("POST", "/execute", json={"code": "while True: pass", "session_id": session})
            )

            async def runs() -> bool:
                return (await client.describe(session)).state == "running"

            await eventually(runs)
            server.process.send_signal(signal.SIGTERM)
            assert await server.ended() == 0
            (outcome,) = await asyncio.gather(cell, return_exceptions=True)
            assert isinstance(outcome, BaseException) or outcome.status == 200
            assert not [line for line in server.log_lines() if line["level"] == "ERROR"]
