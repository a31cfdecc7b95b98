"""A service whose sessions expire soon: idle ones end, abandoned host calls are interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.wire import ErrorCode
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import sessions_of
from tests.runtime.sandbox.server import SandboxServer, run_server


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with run_server(idle_timeout_seconds=1.5, suspend_timeout_seconds=1.5, spares=0) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(server) as connected:
        yield connected


async def code_of(client: SandboxClient, session: str) -> ErrorCode | None:
    reply = await client.request("GET", f"/sessions/{session}")
    return None if reply.status == 200 else reply.error().code


async def test_an_idle_session_expires_with_its_processes_and_a_used_or_touched_one_does_not(
    client: SandboxClient, server: SandboxServer
) -> None:
    idle, used, touched = new_id("idle"), new_id("used"), new_id("touched")
    for session in (idle, used, touched):
        await client.execute("x = 1", session)

    async def expired() -> bool:
        await client.execute("x", used, create=False)
        assert (await client.touch(touched)).renewed == [touched]
        return await code_of(client, idle) is ErrorCode.SESSION_EXPIRED

    await eventually(expired)
    body = {"code": "x", "session_id": idle, "create": False}
    await client.refused(404, ErrorCode.SESSION_EXPIRED, "POST", "/execute", json=body)
    assert (await client.get(idle, "x")).error().code is ErrorCode.SESSION_EXPIRED
    again = await client.execute("'x' in globals()", idle)
    assert (again.created, again.result) == (True, "False")
    for session in (idle, used, touched):
        await client.delete(session)
    await eventually(lambda: not sessions_of(server.pid))


async def test_an_abandoned_host_call_is_interrupted_and_the_session_is_as_before_the_cell(
    client: SandboxClient,
) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    reply = await client.execute("x = 2\nask()", session)
    assert reply.call is not None
    kept = (await client.create(host_functions=["ask"])).session_id
    kept_reply = await client.execute("ask()", kept)
    assert kept_reply.call is not None

    async def interrupted() -> bool:
        await client.touch(kept)
        return (await client.describe(session)).state == "idle"

    await eventually(interrupted)
    path = f"/sessions/{session}/resume"
    await client.refused(409, ErrorCode.CALL_MISMATCH, "POST", path, json={"call_id": reply.call.id, "result": ""})
    assert (await client.execute("x", session, create=False)).result == "1"
    assert (await client.resume(kept, kept_reply.call.id, result="a")).result == "'a'"


async def test_an_abandoned_one_shot_cell_ends_with_its_session(client: SandboxClient, server: SandboxServer) -> None:
    reply = await client.execute("ask()", host_functions=["ask"])

    async def gone() -> bool:
        return await code_of(client, reply.session_id) is not None

    await eventually(gone)


async def test_a_long_cell_is_not_idle(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    reply = await client.execute("import time; time.sleep(4)", session)
    assert reply.error is None
    assert (await client.execute("x", session, create=False)).result == "1"


async def test_answers_in_the_moment_of_the_interruption_never_leave_a_session_stuck(client: SandboxClient) -> None:
    """An answer races with the sweep that gives the call up: either wins, and the session is usable after both."""

    async def race(number: int) -> None:
        session = (await client.create(host_functions=["ask"])).session_id
        await client.execute("x = 1", session)
        reply = await client.execute("ask()", session)
        assert reply.call is not None
        await asyncio.sleep(1.5 + number * 0.1)
        path, body = f"/sessions/{session}/resume", {"call_id": reply.call.id, "result": ""}
        answered = await client.request("POST", path, json=body)
        assert answered.status in (200, 404, 409)

        async def usable() -> bool:
            reply = await client.request("POST", "/execute", json={"code": "x", "session_id": session})
            return reply.status == 200

        await eventually(usable)

    await asyncio.gather(*map(race, range(20)))


async def test_an_abandoned_host_call_in_the_very_first_cell_leaves_a_fresh_session_of_the_same_id(
    client: SandboxClient,
) -> None:
    session = (await client.create(host_functions=["ask"], checkpoint="idle")).session_id
    assert (await client.execute("x = 2\nask()", session)).call is not None

    async def interrupted() -> bool:
        return (await client.describe(session)).state == "idle"

    await eventually(interrupted)
    again = await client.execute("'x' in globals(), callable(ask)", session, create=False)
    assert again.result == "(False, True)"
