"""Interrupting a cell: it ends at once, whoever waits for it is told so, and the session is as before it and free."""

from __future__ import annotations

import asyncio

import pytest

from runtime.wire import CheckpointPolicy, ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import descendants, sessions_of
from tests.runtime.sandbox.server import run_server


async def until_running(client: SandboxClient, session: str) -> None:
    async def runs() -> bool:
        return (await client.request("GET", f"/sessions/{session}")).body.find(b'"running"') >= 0

    await eventually(runs)


@pytest.mark.parametrize("policy", list(CheckpointPolicy)[:2])
async def test_a_running_cell_ends_with_one_reply_for_both_and_the_state_is_as_before(
    client: SandboxClient, policy: CheckpointPolicy
) -> None:
    session = (await client.create(checkpoint=policy.value, prelude="x = 1")).session_id
    running = asyncio.create_task(client.execute("x = 2\nwhile True: pass", session))
    await until_running(client, session)
    reply = await client.interrupt(session)
    assert await running == reply
    assert (reply.status, reply.cell, reply.rolled_back, reply.rolled_back_to) == (Status.INTERRUPTED, 1, True, 0)
    assert (await client.execute("x", session, create=False)).result == "1"


async def test_a_suspended_cell_is_rolled_back_its_call_id_is_409_and_the_session_is_free(
    client: SandboxClient,
) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    await client.execute("x = 1", session)
    suspended = await client.execute("x = 2\nask()", session)
    assert suspended.call is not None
    reply = await client.interrupt(session)
    assert (reply.status, reply.cell, reply.rolled_back_to) == (Status.INTERRUPTED, 2, 1)
    path, body = f"/sessions/{session}/resume", {"call_id": suspended.call.id, "result": ""}
    await client.refused(409, ErrorCode.CALL_MISMATCH, "POST", path, json=body)
    after = await client.execute("x", session, create=False)
    assert (after.result, after.cell, after.rolled_back) == ("1", 3, False)


async def test_a_cell_interrupted_after_it_was_resumed_rolls_back_to_before_it(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    suspended = await client.execute("x = 2\nask()\nwhile True: pass", session)
    assert suspended.call is not None
    resuming = asyncio.create_task(client.resume(session, suspended.call.id, result=""))
    await until_running(client, session)
    reply = await client.interrupt(session)
    assert await resuming == reply
    assert (await client.execute("x", session, create=False)).result == "1"


async def test_many_interrupts_at_once_get_the_same_reply_or_learn_that_there_is_nothing_left(
    client: SandboxClient,
) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    await client.execute("ask()", session)
    replies = await asyncio.gather(*(client.request("POST", f"/sessions/{session}/interrupt") for _ in range(5)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert len({reply.body for reply in replies if reply.status == 200}) == 1
    assert (await client.execute("x", session, create=False)).result == "1"


async def test_a_client_that_leaves_and_interrupts_at_once_ends_one_cell_and_nothing_else(
    client: SandboxClient,
) -> None:
    sessions = [(await client.create(prelude="x = 1")).session_id for _ in range(4)]

    async def leave(session: str) -> None:
        running = asyncio.create_task(client.execute("x = 2\nwhile True: pass", session))
        await until_running(client, session)
        running.cancel()
        await client.request("POST", f"/sessions/{session}/interrupt")
        await asyncio.gather(running, return_exceptions=True)

    for _ in range(5):
        await asyncio.gather(*(leave(session) for session in sessions))
        for session in sessions:
            assert (await client.execute("x", session, create=False)).result == "1"


async def test_an_idle_session_has_nothing_to_interrupt_and_loses_nothing(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    await client.refused(409, ErrorCode.NOT_RUNNING, "POST", f"/sessions/{session}/interrupt")
    assert (await client.execute("x", session, create=False)).result == "1"
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", "/sessions/never-there/interrupt")


async def test_another_callers_session_cannot_be_interrupted(client: SandboxClient, stranger: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    suspended = await client.execute("ask()", session)
    assert suspended.call is not None
    await stranger.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", f"/sessions/{session}/interrupt")
    assert (await client.resume(session, suspended.call.id, result="")).status is Status.OK


async def test_a_session_without_checkpoints_is_lost_and_says_so(client: SandboxClient) -> None:
    session = (await client.create(checkpoint="off", host_functions=["ask"])).session_id
    await client.execute("x = 1", session)
    await client.execute("ask()", session)
    reply = await client.interrupt(session)
    assert (reply.status, reply.session_lost, reply.rolled_back) == (Status.INTERRUPTED, True, False)
    await client.refused(404, ErrorCode.SESSION_EXPIRED, "GET", f"/sessions/{session}")


async def test_an_interrupted_first_cell_leaves_a_fresh_session_of_the_same_id(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1\nask()", session, host_functions=["ask"])
    assert (await client.interrupt(session)).rolled_back_to == 0
    assert (await client.execute("'x' in globals(), callable(ask)", session, create=False)).result == "(False, True)"


async def test_a_one_shot_cell_ends_with_its_session(client: SandboxClient) -> None:
    reply = await client.execute("ask()", host_functions=["ask"])
    ended = await client.interrupt(reply.session_id)
    assert (ended.status, ended.session_lost) == (Status.INTERRUPTED, False)
    assert (await client.request("GET", f"/sessions/{reply.session_id}")).status == 404


async def test_a_cell_that_waits_for_a_slot_is_interrupted_before_it_begins_and_nothing_is_lost() -> None:
    with run_server(max_concurrent_executions=1, queue_timeout_seconds=60, spares=0) as server:
        async with connect(server) as client:
            session = (await client.create(prelude="x = 1", host_functions=["ask"])).session_id
            suspended = await client.execute("ask()", session)
            other = (await client.create(prelude="x = 2", checkpoint="idle")).session_id
            holding = asyncio.create_task(client.execute("while True: pass"))

            async def slot_is_taken() -> bool:
                return (await client.metrics())["wasm_sessions", "running"] == 1

            await eventually(slot_is_taken)
            assert suspended.call is not None
            waiting = [
                asyncio.create_task(client.execute("x = 3", other)),
                asyncio.create_task(client.resume(session, suspended.call.id, result="")),
            ]

            async def both_wait() -> bool:
                return (await client.metrics())["wasm_execution_queue_length", ""] == 2

            await eventually(both_wait)
            replies = [await client.interrupt(other), await client.interrupt(session)]
            assert await asyncio.gather(*waiting) == replies
            assert [reply.status for reply in replies] == [Status.INTERRUPTED, Status.INTERRUPTED]
            assert [reply.rolled_back for reply in replies] == [False, True]
            holding.cancel()
            assert (await client.execute("x", other, create=False)).result == "2"
            assert (await client.execute("x", session, create=False)).result == "1"


async def test_a_often_interrupted_session_leaves_no_process_behind(client: SandboxClient) -> None:
    session = (await client.create(prelude="x = 1", host_functions=["ask"])).session_id
    await client.execute("y = 1", session)
    pid = client.server.pid

    async def a_spare_is_ready() -> bool:
        return (await client.metrics())["wasm_spares", ""] >= 1

    await eventually(a_spare_is_ready)
    before = len(sessions_of(pid))
    for _ in range(50):
        await client.execute("ask()", session)
        await client.interrupt(session)
    assert (await client.execute("x", session, create=False)).result == "1"
    await eventually(lambda: len(sessions_of(pid)) <= before and len(descendants(pid)) <= before + 1)
