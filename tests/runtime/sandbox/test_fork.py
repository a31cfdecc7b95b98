"""Branching a session: the branch has the same state and goes on alone, whatever becomes of the other."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from runtime.wire import ErrorCode, ForkReply, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import alive, sessions_of, status, zygote_of
from tests.runtime.sandbox.server import run_server


async def test_a_branch_has_the_state_and_neither_sees_what_the_other_does(client: SandboxClient) -> None:
    created = await client.create(prelude="def double(n): return n * 2\nnumbers = iter(range(10))")
    assert created.capabilities.fork
    source = created.session_id
    await client.execute("x = [1]; next(numbers)", source)
    branch = await client.fork(source, session_id=new_id("branch"))
    assert (branch.cell, branch.state, branch.call) == (1, "idle", None)
    await client.execute("x.append('branch')", branch.session_id)
    await client.execute("x.append('source')", source)
    assert (await client.execute("x, double(4), next(numbers)", branch.session_id)).result == "([1, 'branch'], 8, 1)"
    assert (await client.execute("x, double(4), next(numbers)", source)).result == "([1, 'source'], 8, 1)"


@pytest.mark.parametrize("policy", ["cell", "idle"])
async def test_a_branch_has_a_checkpoint_when_it_is_made(client: SandboxClient, policy: str) -> None:
    source = (await client.create(prelude="x = 1", checkpoint=policy)).session_id
    await client.execute("x = 2", source)
    branch = (await client.fork(source)).session_id
    reply = await client.execute("x = 3\nimport os; os.abort()", branch)
    assert (reply.status, reply.rolled_back, reply.rolled_back_to) == (Status.CRASHED, True, 1)
    assert (await client.execute("x", branch, create=False)).result == "2"
    assert (await client.execute("x", source, create=False)).result == "2"


async def test_a_branch_of_a_session_without_checkpoints_is_lost_like_that_one_would_be(client: SandboxClient) -> None:
    source = (await client.create(prelude="x = 1", checkpoint="off")).session_id
    branch = (await client.fork(source)).session_id
    assert (await client.execute("import os; os.abort()", branch)).session_lost
    assert (await client.execute("x", source, create=False)).result == "1"


async def test_a_bad_cell_of_the_source_rolls_back_to_its_own_checkpoint_after_a_fork(client: SandboxClient) -> None:
    """The branch must not hold the pipe open on which the source's checkpoint waits."""
    source = (await client.create(prelude="x = 1")).session_id
    branch = (await client.fork(source)).session_id
    assert (await client.execute("while True: pass", source, timeout=0.3)).rolled_back_to == 0
    assert (await client.execute("x", source, create=False)).result == "1"
    assert (await client.execute("x", branch, create=False)).result == "1"


async def test_a_branch_outlives_its_source_and_can_be_branched(client: SandboxClient) -> None:
    source = (await client.create(prelude="x = 1")).session_id
    branch = (await client.fork(source)).session_id
    await client.delete(source)
    second = (await client.fork(branch)).session_id
    await client.delete(branch)
    assert (await client.execute("x", second, create=False)).result == "1"


async def test_a_session_that_has_run_nothing_can_be_branched(client: SandboxClient) -> None:
    source = (await client.create(host_functions=["ask"], seed=7, limits={"memory": 100 << 20})).session_id
    branch = (await client.fork(source)).session_id
    code = "import random; random.random(), callable(ask)"
    results = {(await client.execute(code, session)).result for session in (source, branch)}
    assert len(results) == 2
    assert all("True" in str(result) for result in results)
    reply = await client.execute("x = bytes(120 << 20)", branch)
    assert reply.error is not None
    assert reply.error.type == "MemoryError"


async def test_branches_have_other_random_numbers_than_each_other_and_their_source(client: SandboxClient) -> None:
    source = (await client.create(prelude="import os, random, uuid", seed=7)).session_id
    sessions = [source, *[(await client.fork(source)).session_id for _ in range(3)]]
    for code in ("random.random()", "uuid.uuid4().hex", "os.urandom(8)"):
        assert len({(await client.execute(code, session)).result for session in sessions}) == 4


async def test_a_suspended_branch_has_a_call_id_of_its_own_and_gets_its_own_answer(client: SandboxClient) -> None:
    source = (await client.create(prelude="import random", host_functions=["ask"])).session_id
    suspended = await client.execute("x = ask('q'), random.random()", source)
    assert suspended.call is not None
    branches = [await client.fork(source) for _ in range(3)]
    ids = {suspended.call.id}
    numbers = set()
    for number, branch in enumerate(branches):
        assert branch.call is not None
        assert (branch.state, branch.call.name, branch.call.payload) == ("suspended", "ask", suspended.call.payload)
        ids.add(branch.call.id)
        path, body = f"/sessions/{branch.session_id}/resume", {"call_id": suspended.call.id, "result": ""}
        await client.refused(409, ErrorCode.CALL_MISMATCH, "POST", path, json=body)
        assert (await client.resume(branch.session_id, branch.call.id, result=f"b{number}")).status is Status.OK
        assert (await client.execute("x[0]", branch.session_id)).result == f"'b{number}'"
        numbers.add((await client.execute("x[1]", branch.session_id)).result)
    assert (await client.resume(source, suspended.call.id, result="s")).status is Status.OK
    assert (await client.execute("x[0]", source)).result == "'s'"
    numbers.add((await client.execute("x[1]", source)).result)
    assert (len(ids), len(numbers)) == (4, 4)
    reply = await client.execute("while True: pass", branches[0].session_id, timeout=0.3)
    assert (reply.status, reply.rolled_back_to) == (Status.TIMEOUT, 3)
    assert (await client.execute("x[0]", branches[0].session_id)).result == "'b0'"


async def test_a_suspended_branch_that_fails_in_its_cell_says_that_it_is_lost_and_its_source_is_not(
    client: SandboxClient,
) -> None:
    source = (await client.create(prelude="x = 1", host_functions=["ask"])).session_id
    suspended = await client.execute("ask()", source)
    branch = (await client.fork(source)).session_id
    assert (await client.interrupt(branch)).session_lost
    assert suspended.call is not None
    assert (await client.resume(source, suspended.call.id, result="")).status is Status.OK


async def test_what_cannot_be_branched_says_why(client: SandboxClient, stranger: SandboxClient) -> None:
    source = (await client.create()).session_id
    path = f"/sessions/{source}/fork"
    await client.refused(409, ErrorCode.BUSY, "POST", path, json={"session_id": source})
    await client.refused(400, ErrorCode.MALFORMED, "POST", path, json={"session_id": "/"})
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", "/sessions/never-there/fork", json={})
    await stranger.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", path, json={})
    running = asyncio.create_task(client.execute("while True: pass", source))

    async def runs() -> bool:
        return (await client.describe(source)).state == "running"

    await eventually(runs)
    await client.refused(409, ErrorCode.BUSY, "POST", path, json={})
    await client.interrupt(source)
    await running


async def test_branches_count_against_the_cap() -> None:
    with run_server(max_sessions=2) as server:
        async with connect(server) as client:
            source = (await client.create(prelude="x = 1")).session_id
            branch = (await client.fork(source)).session_id
            await client.refused(429, ErrorCode.SESSION_CAP, "POST", f"/sessions/{source}/fork", json={})
            await client.delete(branch)
            await client.fork(source)
            assert (await client.execute("x", source)).result == "1"


async def test_more_branches_than_a_session_may_have_processes_are_refused_and_all_others_live() -> None:
    """As root a session and its branches share a user's bound of processes; else only the cap of the pool holds."""
    with run_server(max_sessions=48) as server:
        async with connect(server) as client:
            source = (await client.create(prelude="x = 1")).session_id
            sessions = [source]
            for _ in range(60):
                reply = await client.request("POST", f"/sessions/{source}/fork", json={"session_id": new_id()})
                if reply.status != 201:
                    assert (reply.status, reply.error().code) == (429, ErrorCode.SESSION_CAP)
                    break
                sessions.append((await client.describe(reply_id(reply.body))).session_id)
            assert 10 < len(sessions) <= 48
            for session in sessions:
                assert (await client.execute("x", session, create=False)).result == "1"
            for session in sessions[1:]:
                await client.delete(session)
            # Those of the source and two spares; no process of a branch stays.
            await eventually(lambda: len(alive(sessions_of(server.pid))) == 4)


async def test_every_branch_is_a_child_of_the_zygote_and_ends_with_it() -> None:
    with run_server(spares=0) as server:
        async with connect(server) as client:
            source = (await client.create(prelude="x = 1")).session_id
            await client.fork(source)
            zygote = zygote_of(server.pid)
            parents = {int(status(pid)["PPid"]) for pid in sessions_of(server.pid)}
            assert len(parents) == 3  # the zygote, and each head for its checkpoint
            assert zygote in parents
            sessions = sessions_of(server.pid)
            os.kill(zygote, signal.SIGKILL)
            await eventually(lambda: not alive(sessions))


async def test_a_suspended_session_whose_head_was_killed_is_not_branched_and_goes_on_rolled_back() -> None:
    with run_server(spares=0) as server:
        async with connect(server) as client:
            source = (await client.create(prelude="x = 1", host_functions=["ask"])).session_id
            suspended = await client.execute("x = 2\nask()", source)
            assert suspended.call is not None
            zygote = zygote_of(server.pid)
            before = sessions_of(server.pid)
            (head,) = (pid for pid in before if status(pid)["PPid"] == str(zygote))
            os.kill(head, signal.SIGKILL)
            await eventually(lambda: len(alive(sessions_of(server.pid)) - before) == 1)  # promoted, with its checkpoint
            await client.refused(429, ErrorCode.SESSION_CAP, "POST", f"/sessions/{source}/fork", json={})
            reply = await client.resume(source, suspended.call.id, result="")
            assert (reply.status, reply.rolled_back_to) == (Status.CRASHED, 0)
            branch = (await client.fork(source)).session_id
            assert (await client.execute("x", branch)).result == "1"


def reply_id(body: bytes) -> str:
    return ForkReply.model_validate_json(body).session_id
