"""A small service: its queue and its session cap are full soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.wire import LOAD_HEADER, ErrorCode, SessionReply, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import sessions_of
from tests.runtime.sandbox.server import SandboxServer, run_server

SLOTS, QUEUE, SESSIONS = 1, 1, 4


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with run_server(
        max_concurrent_executions=SLOTS,
        max_queue=QUEUE,
        queue_timeout_seconds=1,
        max_sessions=SESSIONS,
        timeout_seconds=20,
        metrics_port=0,
        spares=0,
    ) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(server) as connected:
        yield connected


async def queue_length(client: SandboxClient) -> float:
    return (await client.metrics())["wasm_execution_queue_length", ""]


async def running_cell(client: SandboxClient) -> tuple[str, asyncio.Task[object]]:
    """A session whose cell holds the only slot."""
    session = (await client.create()).session_id
    task: asyncio.Task[object] = asyncio.create_task(client.execute("import time; time.sleep(60)", session))

    async def runs() -> bool:
        return (await client.describe(session)).state == "running"

    await eventually(runs)
    return session, task


async def test_a_full_queue_is_429_with_a_time_to_retry_and_the_session_is_not_made(client: SandboxClient) -> None:
    first, holding = await running_cell(client)
    waiting = asyncio.create_task(client.request("POST", "/execute", json={"code": "1"}))

    async def queued() -> bool:
        return await queue_length(client) == QUEUE

    await eventually(queued)
    session = new_id()
    body = {"code": "1", "session_id": session}
    await client.refused(429, ErrorCode.QUEUE_FULL, "POST", "/execute", json=body)
    await client.refused(429, ErrorCode.QUEUE_FULL, "POST", "/sessions", json={"session_id": session, "prelude": "1"})
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{session}")
    reply = await waiting
    assert (reply.status, reply.error().code) == (429, ErrorCode.QUEUE_TIMEOUT)
    await client.delete(first)
    await holding


async def test_a_queued_cell_runs_when_a_slot_is_free_and_says_how_long_it_waited(client: SandboxClient) -> None:
    first, holding = await running_cell(client)
    waiting = asyncio.create_task(client.execute("1"))

    async def queued() -> bool:
        return await queue_length(client) == 1

    await eventually(queued)
    await client.delete(first)
    reply = await waiting
    assert reply.status is Status.OK
    assert 0 < reply.timing.queued < 1
    await holding


async def test_a_queued_clients_disconnect_leaves_the_queue_and_its_session_usable(client: SandboxClient) -> None:
    session = (await client.create()).session_id
    await client.execute("x = 1", session)
    first, holding = await running_cell(client)
    waiting = asyncio.create_task(client.execute("x = 2", session))

    async def queued() -> bool:
        return await queue_length(client) == 1

    async def empty() -> bool:
        return await queue_length(client) == 0

    await eventually(queued)
    waiting.cancel()
    await eventually(empty)
    await client.delete(first)
    await holding
    reply = await client.execute("x", session)
    assert (reply.result, reply.rolled_back) == ("1", False)
    await client.delete(session)


async def test_a_suspended_cell_holds_no_slot(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    reply = await client.execute("ask()", session)
    assert reply.call is not None
    assert (await client.execute("1")).status is Status.OK
    assert (await client.resume(session, reply.call.id, result="")).status is Status.OK
    await client.delete(session)


async def test_an_answer_that_finds_the_queue_full_may_be_given_again(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    reply = await client.execute("ask()", session)
    assert reply.call is not None
    first, holding = await running_cell(client)
    path, body = f"/sessions/{session}/resume", {"call_id": reply.call.id, "result": "a"}
    await client.refused(429, ErrorCode.QUEUE_TIMEOUT, "POST", path, json=body)
    assert (await client.describe(session)).state == "suspended"
    await client.delete(first)
    await holding
    assert (await client.resume(session, reply.call.id, result="a")).result == "'a'"
    await client.delete(session)


async def test_the_session_cap_is_429_until_one_is_deleted(client: SandboxClient) -> None:
    made = [(await client.create()).session_id for _ in range(SESSIONS)]
    await client.refused(429, ErrorCode.SESSION_CAP, "POST", "/sessions", json={})
    await client.refused(429, ErrorCode.SESSION_CAP, "POST", "/execute", json={"code": "1"})
    assert (await client.execute("1", made[0])).status is Status.OK
    await client.delete(made.pop())
    made.append((await client.create()).session_id)
    for session in made:
        await client.delete(session)


async def test_callers_who_create_at_once_never_get_past_the_cap(client: SandboxClient) -> None:
    replies = await asyncio.gather(*(client.request("POST", "/sessions", json={}) for _ in range(3 * SESSIONS)))
    made = [json_id(reply.body) for reply in replies if reply.status == 201]
    assert len(made) == SESSIONS
    assert {reply.status for reply in replies} == {201, 429}
    for session in made:
        await client.delete(session)


def json_id(body: bytes) -> str:
    return SessionReply.model_validate_json(body).session_id


async def test_with_a_metrics_port_operations_are_only_there(client: SandboxClient, server: SandboxServer) -> None:
    assert server.url != server.metrics_url
    for path in ("/healthz", "/readyz", "/metrics", "/version"):
        async with client.http.get(server.metrics_url + path) as response:
            assert response.status == 200
        await client.refused(404, ErrorCode.NOT_FOUND, "GET", path)
    async with client.http.post(server.metrics_url + "/execute", json={"code": "1"}) as response:
        assert response.status == 404


async def test_without_spares_sessions_work_all_the_same(client: SandboxClient) -> None:
    assert (await client.metrics())["wasm_spares", ""] == 0
    assert (await client.execute("40 + 2")).result == "42"


async def test_clients_that_go_away_while_their_session_starts_do_not_use_up_the_cap(
    client: SandboxClient, server: SandboxServer
) -> None:
    for delay in range(20):
        session = new_id()
        creating = asyncio.create_task(client.request("POST", "/sessions", json={"session_id": session}))
        await asyncio.sleep(delay / 1000)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
        await eventually(lambda: no_request_is_under_way(client))
        await client.delete(session)  # it may have been made in the same moment

    async def none_left() -> bool:
        return "sessions=0;" in (await client.request("GET", "/nothing")).headers[LOAD_HEADER]

    await eventually(none_left)
    await eventually(lambda: not sessions_of(server.pid))


async def no_request_is_under_way(client: SandboxClient) -> bool:
    return "running=0;queued=0;" in (await client.request("GET", "/nothing")).headers[LOAD_HEADER]
