"""Creating, describing and ending sessions."""

from __future__ import annotations

import asyncio

import pytest

from runtime.wire import CellReply, CheckpointPolicy, ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually


async def test_a_session_without_options_gets_an_unguessable_id_and_says_what_it_can(client: SandboxClient) -> None:
    reply = await client.create()
    assert len(reply.session_id) == 32
    assert reply.image == "stdlib"
    assert (reply.capabilities.rollback, reply.prelude) == (True, None)
    assert (await client.execute("1", reply.session_id, create=False)).cell == 1


async def test_a_prelude_runs_once_as_cell_0_and_its_names_are_hidden(client: SandboxClient) -> None:
    created = await client.create(prelude="import math\ndef helper(): return 7\nprint('hi')")
    assert created.prelude is not None
    assert (created.prelude.status, created.prelude.cell, created.prelude.stdout) == (Status.OK, 0, "hi\n")
    reply = await client.execute("x = helper()", created.session_id)
    assert (reply.cell, set(reply.locals)) == (1, {"x"})


async def test_what_a_failing_first_cell_would_lose_is_the_prelude_and_it_is_not_lost(client: SandboxClient) -> None:
    created = await client.create(prelude="def helper(): return 7")
    reply = await client.execute("while True: pass", created.session_id, timeout=0.3)
    assert (reply.status, reply.rolled_back_to) == (Status.TIMEOUT, 0)
    assert (await client.execute("helper()", created.session_id)).result == "7"


@pytest.mark.parametrize(
    ("prelude", "status"),
    [
        ("raise ValueError('broken')", Status.ERROR),
        ("if", Status.ERROR),
        ("import os; os._exit(0)", Status.CRASHED),
        ("import sandbox; sandbox.call('ask', 'x')", Status.SUSPENDED),
    ],
)
async def test_a_prelude_that_does_not_end_ok_is_422_with_its_reply_and_there_is_no_session(
    client: SandboxClient, prelude: str, status: Status
) -> None:
    session = new_id()
    body = {"session_id": session, "prelude": prelude, "host_functions": ["ask"]}
    error = await client.refused(422, ErrorCode.PRELUDE_FAILED, "POST", "/sessions", json=body)
    assert CellReply.model_validate(error.details).status is status
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{session}")
    await client.create(session_id=session)


async def test_an_id_in_use_is_409(client: SandboxClient) -> None:
    session = new_id()
    await client.create(session_id=session)
    await client.refused(409, ErrorCode.BUSY, "POST", "/sessions", json={"session_id": session})


async def test_of_many_who_create_one_id_at_once_exactly_one_succeeds(client: SandboxClient) -> None:
    body = {"session_id": new_id()}
    replies = await asyncio.gather(*(client.request("POST", "/sessions", json=body) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [201, 409, 409, 409, 409]


async def test_describe_tells_state_cell_and_policy(client: SandboxClient) -> None:
    created = await client.create(checkpoint="idle", host_functions=["ask"])
    session = created.session_id
    info = await client.describe(session)
    assert (info.state, info.cell, info.checkpoint) == ("idle", 0, CheckpointPolicy.IDLE)
    await client.execute("ask('x')", session)
    assert (await client.describe(session)).state == "suspended"


async def test_a_running_session_is_described_and_refuses_a_second_cell(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    running = asyncio.create_task(client.execute("import time; time.sleep(30)", session))

    async def runs() -> bool:
        return (await client.describe(session)).state == "running"

    await eventually(runs)
    body = {"code": "x", "session_id": session}
    await client.refused(409, ErrorCode.BUSY, "POST", "/execute", json=body)
    assert (await client.put_raw(session, "y", b"1")).error().code is ErrorCode.BUSY
    assert (await client.get(session, "x")).error().code is ErrorCode.BUSY
    await client.delete(session)
    reply = await running
    assert (reply.status, reply.session_lost) == (Status.INTERRUPTED, True)


async def test_delete_is_idempotent_and_the_id_is_unknown_afterwards(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    await client.delete(session)
    await client.delete(session)
    await client.delete("never-there")
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{session}")
    assert (await client.execute("'x' in globals()", session)).result == "False"


async def test_a_deleted_running_session_is_not_found_and_its_id_is_free(client: SandboxClient) -> None:
    session = new_id()
    running = asyncio.create_task(client.execute("while True: pass", session))

    async def exists() -> bool:
        return (await client.request("GET", f"/sessions/{session}")).status == 200

    await eventually(exists)
    await client.delete(session)
    assert (await running).status is Status.INTERRUPTED
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{session}")
    await client.create(session_id=session)


async def test_a_deleted_suspended_session_is_gone(client: SandboxClient) -> None:
    created = await client.create(host_functions=["ask"])
    reply = await client.execute("ask('x')", created.session_id)
    assert reply.call is not None
    await client.delete(created.session_id)
    path = f"/sessions/{created.session_id}/resume"
    body = {"call_id": reply.call.id, "result": ""}
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", path, json=body)


async def test_limits_above_the_pools_are_refused_and_lower_ones_hold(client: SandboxClient) -> None:
    for limits in ({"memory": 1 << 40}, {"output": 1 << 30}):
        error = await client.refused(422, ErrorCode.LIMIT_EXCEEDED, "POST", "/sessions", json={"limits": limits})
        assert next(iter(limits)) in error.message
    session = (await client.create(limits={"memory": 100 << 20, "output": 2000})).session_id
    reply = await client.execute("print('x' * 5000)", session)
    assert (len(reply.stdout), reply.stdout_truncated) == (2000, True)
    reply = await client.execute("x = bytes(120 << 20)", session)
    assert reply.error is not None
    assert reply.error.type == "MemoryError"


async def test_touch_renews_the_callers_sessions_and_names_the_unknown(client: SandboxClient) -> None:
    session = (await client.create()).session_id
    reply = await client.touch(session, "never-there")
    assert (reply.renewed, reply.unknown) == ([session], ["never-there"])


async def test_checkpoint_off_makes_a_bad_cell_end_the_session_and_says_so(client: SandboxClient) -> None:
    session = (await client.create(checkpoint="off")).session_id
    await client.execute("x = 1", session)
    reply = await client.execute("while True: pass", session, timeout=0.3)
    assert (reply.status, reply.session_lost, reply.rolled_back) == (Status.TIMEOUT, True, False)
    body = {"code": "x", "session_id": session, "create": False}
    await client.refused(404, ErrorCode.SESSION_EXPIRED, "POST", "/execute", json=body)


async def test_checkpoint_idle_names_the_cell_it_went_back_to(client: SandboxClient) -> None:
    """Cells in quick succession may share a checkpoint; whichever it is, the state is the one that the reply names."""
    session = (await client.create(checkpoint="idle", prelude="log = []")).session_id
    for number in range(1, 6):
        await client.execute(f"log.append({number})", session)
    reply = await client.execute("while True: pass", session, timeout=0.3)
    assert (reply.status, reply.rolled_back) == (Status.TIMEOUT, True)
    assert reply.rolled_back_to is not None
    expected = list(range(1, reply.rolled_back_to + 1))
    assert (await client.execute("log", session)).result == str(expected)


async def test_checkpoint_idle_covers_a_cell_that_ran_long_before_the_next_runs(client: SandboxClient) -> None:
    session = (await client.create(checkpoint="idle", prelude="import time")).session_id
    await client.execute("time.sleep(0.3); x = 1", session)
    reply = await client.execute("while True: pass", session, timeout=0.3)
    assert reply.rolled_back_to == 1
    assert (await client.execute("x", session)).result == "1"


async def test_cell_numbers_rise_also_over_cells_that_were_rolled_back(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    assert (await client.execute("while True: pass", session, timeout=0.3)).cell == 2
    assert (await client.execute("x", session)).cell == 3
