"""Processes killed from outside: what heals, what is lost, and that it is said."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.wire import ErrorCode, HostCall, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import (
    alive,
    cpu_ticks,
    descendants,
    descriptors,
    sessions_of,
    status,
    zombies,
    zygote_of,
)
from tests.runtime.sandbox.server import SandboxServer, run_server

SPIN = "while True: pass"
TICKS = 10  # of the kernel's accounting: more than a head uses before it begins a cell


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """No spares: every hardened process is of a session that the test made."""
    with run_server(spares=0) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    await eventually(lambda: not sessions_of(server.pid))
    async with connect(server) as connected:
        await eventually(lambda: is_ready(connected))
        yield connected


async def is_ready(client: SandboxClient) -> bool:
    return (await client.request("GET", "/readyz")).status == 200


async def head_and_checkpoint(server: SandboxServer) -> tuple[int, int]:
    """Process ids of the only session: the checkpoint is a child of the head, or the younger one."""
    await eventually(lambda: len(sessions_of(server.pid)) == 2)
    head, checkpoint = sorted(sessions_of(server.pid))
    return head, checkpoint


async def test_a_head_killed_while_idle_is_replaced_and_the_next_reply_says_so(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    head, checkpoint = await head_and_checkpoint(server)
    os.kill(head, signal.SIGKILL)
    await eventually(lambda: sessions_of(server.pid) > {checkpoint} and head not in sessions_of(server.pid))
    reply = await client.execute("x", session, create=False)
    assert (reply.status, reply.result, reply.rolled_back, reply.rolled_back_to) == (Status.OK, "1", True, 1)
    assert not (await client.execute("x", session)).rolled_back


async def test_a_request_that_the_killed_head_had_not_begun_is_done_by_the_next_one(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = [1]", session)
    head, _ = await head_and_checkpoint(server)
    os.kill(head, signal.SIGSTOP)
    asked = asyncio.create_task(client.execute("x.append(2); x", session))
    await eventually(lambda: running_cells(client))
    os.kill(head, signal.SIGKILL)
    reply = await asked
    assert (reply.status, reply.result, reply.rolled_back, reply.rolled_back_to) == (Status.OK, "[1, 2]", True, 1)
    again = await client.execute("x", session)
    assert (again.result, again.rolled_back) == ("[1, 2]", False)


async def test_a_variable_that_the_killed_head_had_not_begun_to_set_is_set_by_the_next_one(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    head, _ = await head_and_checkpoint(server)
    os.kill(head, signal.SIGSTOP)
    setting = asyncio.create_task(client.put(session, "v", b"y" * 100_000))
    await eventually(lambda: running_cells(client))
    os.kill(head, signal.SIGKILL)
    assert (await setting).length == 100_000
    reply = await client.execute("x, len(v)", session)
    assert (reply.result, reply.rolled_back, reply.rolled_back_to) == ("(1, 100000)", True, 1)


async def running_cells(client: SandboxClient) -> bool:
    """A session's state is `running` only while a request of it is under way."""
    return (await client.metrics())["wasm_sessions", "running"] > 0


async def test_a_head_killed_while_it_runs_is_a_crash_that_rolls_back(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    head, _ = await head_and_checkpoint(server)
    before = cpu_ticks({head})
    running = asyncio.create_task(client.execute(f"x = 2\n{SPIN}", session))
    await eventually(lambda: cpu_ticks({head}) > before + TICKS)
    os.kill(head, signal.SIGKILL)
    reply = await running
    assert (reply.status, reply.rolled_back_to) == (Status.CRASHED, 1)
    assert (await client.execute("x", session)).result == "1"


async def test_a_head_killed_while_its_cell_is_suspended_answers_the_resume_with_a_crash(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    head, checkpoint = await head_and_checkpoint(server)
    call = (await client.execute("x = 2\nask()", session)).call
    assert call is not None
    os.kill(head, signal.SIGKILL)
    await eventually(lambda: sessions_of(server.pid) > {checkpoint} and head not in sessions_of(server.pid))
    reply = await client.resume(session, call.id, result="")
    assert (reply.status, reply.rolled_back_to) == (Status.CRASHED, 0)
    assert (await client.execute("x", session)).result == "1"


async def test_a_killed_checkpoint_is_replaced_after_the_next_cell(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    _, checkpoint = await head_and_checkpoint(server)
    os.kill(checkpoint, signal.SIGKILL)
    await eventually(lambda: len(sessions_of(server.pid)) == 1)
    assert (await client.execute("x = 2; x", session)).result == "2"
    await eventually(lambda: len(sessions_of(server.pid)) == 2)
    assert (await client.execute(SPIN, session, timeout=0.3)).rolled_back_to == 2
    assert (await client.execute("x", session)).result == "2"


async def test_head_and_checkpoint_killed_together_lose_the_session_and_say_so(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    head, checkpoint = await head_and_checkpoint(server)
    os.kill(checkpoint, signal.SIGKILL)
    os.kill(head, signal.SIGKILL)
    await eventually(lambda: not sessions_of(server.pid))
    body = {"code": "x", "session_id": session, "create": False}
    await client.refused(404, ErrorCode.SESSION_EXPIRED, "POST", "/execute", json=body)
    assert (await client.execute("1", session)).created


async def test_heads_killed_at_random_moments_never_mix_up_replies_or_lose_a_session(
    client: SandboxClient, server: SandboxServer
) -> None:
    """Each reply must be of its own cell: its stdout says which it is. The state is that of a cell that was said."""
    session = new_id()
    await client.execute("done = [0]", session)
    killed, said = 0, {0}
    await eventually(lambda: len(sessions_of(server.pid)) == 2)  # until then a kill may lose the session, and says so
    for number in range(1, 60):
        head = min(sessions_of(server.pid))
        running = asyncio.create_task(client.execute(f"done.append({number})\nprint({number})", session))
        await asyncio.sleep(number % 12 / 1000)
        if number % 2:
            os.kill(head, signal.SIGKILL)
            killed += 1
        reply = await running
        assert reply.status in (Status.OK, Status.CRASHED)
        assert not reply.session_lost
        assert reply.cell == number + 1
        if reply.status is Status.OK:
            assert reply.stdout == f"{number}\n"
            said.add(number)
        await eventually(lambda: len(sessions_of(server.pid)) == 2)
    assert killed == 30
    listed = None
    while listed is None:  # the last kill may be noticed in the middle of this cell
        listed = (await client.execute("done", session)).result
    done = [int(part) for part in listed.strip("[]").split(",")]
    assert done == sorted(set(done))
    assert set(done) <= said


async def test_a_killed_zygote_ends_its_sessions_and_new_ones_work_again(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    zygote, known = zygote_of(server.pid), sessions_of(server.pid)
    running = asyncio.create_task(client.execute(SPIN, new_id()))
    await eventually(lambda: cpu_ticks(sessions_of(server.pid) - known) > TICKS)
    os.kill(zygote, signal.SIGKILL)
    reply = await running
    assert (reply.status, reply.session_lost) == (Status.CRASHED, True)

    async def ready() -> bool:
        return await is_ready(client) and not alive({zygote})

    await eventually(ready)
    body = {"code": "x", "session_id": session, "create": False}
    await client.refused(404, ErrorCode.SESSION_EXPIRED, "POST", "/execute", json=body)

    async def works_again() -> bool:
        return (await client.request("POST", "/execute", json={"code": "1"})).status == 200

    await eventually(works_again)
    assert zygote_of(server.pid) != zygote


async def test_a_cell_that_answers_in_the_loops_place_and_spins_on_is_stopped_although_nobody_asks_again(
    client: SandboxClient, server: SandboxServer
) -> None:
    """No request is under way, so no request's clock ends it."""
    session = new_id()
    await client.execute("x = 1", session)
    code = f"import os\nos.write(os.open('/host/door', os.O_RDWR), b'N{{\"status\": \"ok\"}}')\n{SPIN}"
    assert (await client.execute(code, session)).status is Status.OK

    def spins() -> bool:
        return any(status(pid).get("State", "").startswith("R") for pid in sessions_of(server.pid))

    def has_spun() -> bool:
        return cpu_ticks(sessions_of(server.pid)) > before + 20

    before = cpu_ticks(sessions_of(server.pid))
    await eventually(has_spun)
    await eventually(lambda: not spins())
    await client.delete(session)
    await eventually(lambda: not sessions_of(server.pid))


async def test_two_hundred_sessions_leave_no_process_no_zombie_and_no_descriptor(
    client: SandboxClient, server: SandboxServer
) -> None:

    async def one(number: int) -> None:
        if number % 4 == 0:
            await client.execute("import os; os._exit(1)")
            return
        session = new_id()
        await client.execute("x = 1", session)
        if number % 4 == 1:
            await client.put(session, "v", b"y" * 10_000)
        if number % 4 == 2:
            await client.execute("import os; os.abort()", session)
        await client.delete(session)

    await asyncio.gather(*map(one, range(8)))  # also opens the connections that are kept
    await eventually(lambda: not sessions_of(server.pid))
    before = len(descriptors(server.pid))
    for start in range(0, 200, 8):
        await asyncio.gather(*map(one, range(start, start + 8)))
    await eventually(lambda: not sessions_of(server.pid))
    assert zombies(descendants(server.pid)) == set()
    assert descendants(server.pid) == {zygote_of(server.pid)}
    await eventually(lambda: len(descriptors(server.pid)) <= before)
    zygote = zygote_of(server.pid)
    assert len(descriptors(zygote)) <= 8


async def test_a_killed_server_leaves_no_process_behind() -> None:
    with run_server(spares=1) as server:
        async with connect(server) as client:
            await client.execute("x = 1", new_id())
            spinning = asyncio.create_task(client.request("POST", "/execute", json={"code": SPIN}))
            await eventually(lambda: len(sessions_of(server.pid)) >= 4)
            processes = descendants(server.pid)
            server.process.kill()
            await asyncio.gather(spinning, return_exceptions=True)
        assert await server.ended() == -signal.SIGKILL
        await eventually(lambda: not alive(processes))


async def sessions_of_every_kind(client: SandboxClient, server: SandboxServer) -> tuple[str, HostCall, list[str]]:
    """(a suspended session, its call, the others: idle, parked, a branch of each state)."""
    idle, parked = new_id("idle"), new_id("parked")
    await client.execute("x = 1", parked)
    await eventually(lambda: len(sessions_of(server.pid)) == 1)
    suspended = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    call = (await client.execute("x = 2\nask()", suspended)).call
    assert call is not None
    await client.execute("x = 1", idle)
    branches = [(await client.fork(source)).session_id for source in (idle, suspended)]
    return suspended, call, [idle, parked, *branches]


@pytest.fixture
async def parking() -> AsyncIterator[tuple[SandboxClient, SandboxServer]]:
    """A service that parks soon."""
    with run_server(spares=0, park_seconds=0.5) as server:
        async with connect(server) as client:
            yield client, server


async def test_a_killed_zygote_takes_suspended_parked_and_branched_sessions_along_and_each_says_so(
    parking: tuple[SandboxClient, SandboxServer],
) -> None:
    client, server = parking
    suspended, call, others = await sessions_of_every_kind(client, server)
    processes = sessions_of(server.pid)
    os.kill(zygote_of(server.pid), signal.SIGKILL)
    await eventually(lambda: not alive(processes))
    for session in others:
        body = {"code": "x", "session_id": session, "create": False}
        await client.refused(404, ErrorCode.SESSION_EXPIRED, "POST", "/execute", json=body)
    body = {"call_id": call.id, "result": ""}
    await client.refused(404, ErrorCode.SESSION_EXPIRED, "POST", f"/sessions/{suspended}/resume", json=body)


async def test_a_killed_server_leaves_no_process_of_suspended_parked_or_branched_sessions(
    parking: tuple[SandboxClient, SandboxServer],
) -> None:
    client, server = parking
    await sessions_of_every_kind(client, server)
    processes = descendants(server.pid)
    server.process.kill()
    assert await server.ended() == -signal.SIGKILL
    await eventually(lambda: not alive(processes))


async def test_a_zygote_that_does_not_answer_is_503_and_goes_on_when_it_can(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    zygote = zygote_of(server.pid)
    os.kill(zygote, signal.SIGSTOP)
    try:
        assert (await client.execute("x", session)).result == "1"  # a session that is there needs no zygote
        await client.refused(503, ErrorCode.NOT_READY, "POST", "/execute", json={"code": "1"})
    finally:
        os.kill(zygote, signal.SIGCONT)
    assert (await client.execute("40 + 2")).result == "42"


async def test_a_head_that_is_stopped_in_a_cell_is_killed_at_its_deadline(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    head, _ = await head_and_checkpoint(server)
    running = asyncio.create_task(client.execute(SPIN, session, timeout=1))

    async def runs() -> bool:
        return (await client.describe(session)).state == "running"

    await eventually(runs)
    os.kill(head, signal.SIGSTOP)
    assert (await running).status is Status.TIMEOUT
    assert (await client.execute("x", session)).result == "1"
