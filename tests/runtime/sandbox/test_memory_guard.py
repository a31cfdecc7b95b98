"""A pod's memory: whatever sessions take, the kernel's own kill, which would end all of them, never comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.wire import CellReply, ErrorCode, Status
from tests.runtime.sandbox.client import Reply, SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.memory_group import MemoryGroup, memory_group
from tests.runtime.sandbox.processes import resident_bytes
from tests.runtime.sandbox.server import KEYS, SandboxServer, run_server

GIBIBYTE = 1 << 30
HOLD = "big = bytearray(250_000_000)\nfor i in range(0, len(big), 4096): big[i] = 1"


@pytest.fixture(scope="module")
def group() -> Iterator[MemoryGroup]:
    with memory_group(GIBIBYTE) as made:
        yield made


@pytest.fixture(scope="module")
def server(group: MemoryGroup) -> Iterator[SandboxServer]:
    with run_server(group=group, memory_bytes=300 << 20, max_sessions=500) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(server) as connected:
        yield connected


@pytest.fixture
async def bystander(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    """Another caller, with a small session."""
    async with connect(server, KEYS["bob"]) as connected:
        yield connected


async def answers_on(bystander: SandboxClient, session: str, until: asyncio.Event) -> int:
    """Cells of the bystander's session meanwhile; each must find what the first had set."""
    cells = 0
    while not until.is_set():
        assert (await bystander.execute("x", session, create=False)).result == "1"
        cells += 1
    return cells


async def test_four_idle_sessions_of_250_mb_in_1_gib_end_the_oldest_and_nobody_else(
    client: SandboxClient, bystander: SandboxClient, group: MemoryGroup
) -> None:
    """All are of one caller, so the bystander's, which is older than any of them, stays."""
    small = (await bystander.execute("x = 1", new_id())).session_id
    holders = [new_id(f"holder{number}") for number in range(4)]
    for session in holders:
        assert (await client.execute(HOLD, session)).status is Status.OK
    replies = [await client.request("GET", f"/sessions/{session}") for session in holders]
    assert {reply.error().code for reply in replies if reply.status != 200} <= {ErrorCode.SESSION_EXPIRED}
    left = [session for session, reply in zip(holders, replies, strict=True) if reply.status == 200]
    assert 1 <= len(left) < len(holders)
    assert left == holders[-len(left) :]
    assert (await client.execute("len(big)", left[-1], create=False)).result == "250000000"
    assert (await bystander.execute("x", small, create=False)).result == "1"
    assert group.kills() == 0
    assert (await client.metrics())["wasm_sessions_expired_total", "memory"] >= 1


async def test_four_cells_that_take_250_mb_at_once_lose_some_to_status_memory_and_nobody_else(
    client: SandboxClient, bystander: SandboxClient, group: MemoryGroup
) -> None:
    small = (await bystander.execute("x = 1", new_id())).session_id
    resting = (await bystander.execute("x = 2", new_id())).session_id  # idle all the time, and too small to help
    holders = [new_id(f"busy{number}") for number in range(4)]
    for session in holders:
        await client.execute("y = [2]\ndef f(): return y", session)
    done = asyncio.Event()
    answered = asyncio.create_task(answers_on(bystander, small, done))
    code = f"y.append(3)\n{HOLD}\nimport time; time.sleep(3)"
    replies = await asyncio.gather(*(client.execute(code, session, create=False) for session in holders))
    done.set()
    assert await answered > 0
    assert (await bystander.execute("x", resting, create=False)).result == "2"
    assert group.kills() == 0
    killed = [reply for reply in replies if reply.status is Status.MEMORY]
    assert killed
    assert {reply.status for reply in replies} <= {Status.OK, Status.MEMORY}
    for reply in killed:
        assert reply.rolled_back_to == 1
        assert reply.memory_bytes > 100_000_000
        assert (await client.execute("f()", reply.session_id)).result == "[2]"
    assert (await client.metrics())["wasm_memory_kills_total", ""] >= len(killed)


async def test_suspended_cells_that_hold_too_much_are_rolled_back_and_their_resume_says_memory(
    client: SandboxClient, group: MemoryGroup
) -> None:
    holders = [new_id(f"held{number}") for number in range(4)]
    calls: dict[str, str] = {}
    for session in holders:
        await client.execute("y = [2]", session, host_functions=["ask"])
        reply = await client.execute(f"y.append(3)\n{HOLD}\nask()", session, create=False)
        if reply.status is Status.SUSPENDED and reply.call is not None:
            calls[session] = reply.call.id
        else:
            assert reply.status is Status.MEMORY
    replies = {session: await client.resume(session, call, result="") for session, call in calls.items()}
    assert {reply.status for reply in replies.values()} <= {Status.OK, Status.MEMORY}
    rolled_back = [session for session in holders if session not in calls or replies[session].rolled_back]
    assert rolled_back
    for session in rolled_back:
        assert (await client.execute("y", session)).result == "[2]"
    assert group.kills() == 0


async def test_hundreds_of_sessions_never_take_more_than_the_limit_and_the_newest_works(
    client: SandboxClient, group: MemoryGroup
) -> None:
    async def one(number: int) -> Reply:
        body = {"code": "big = 'x' * 4_000_000", "session_id": f"many{number}"}
        return await client.request("POST", "/execute", json=body)

    seen: set[int] = set()
    for start in range(0, 240, 8):
        seen |= {reply.status for reply in await asyncio.gather(*map(one, range(start, start + 8)))}
    assert 200 in seen
    assert seen <= {200, 429}

    async def works() -> bool:
        reply = await one(1000)
        return reply.status == 200 and CellReply.model_validate_json(reply.body).status is Status.OK

    await eventually(works)
    assert group.kills() == 0
    for number in (*range(240), 1000):
        await client.delete(f"many{number}")


async def test_many_large_variables_at_once_are_taken_or_refused_and_never_break_the_server(
    client: SandboxClient, bystander: SandboxClient, group: MemoryGroup
) -> None:
    small = (await bystander.execute("x = 1", new_id())).session_id
    sessions = [(await client.create()).session_id for _ in range(10)]
    body = b"y" * (60 << 20)
    replies = await asyncio.gather(*(client.put_raw(session, "v", body) for session in sessions))
    codes = {"taken" if reply.status == 200 else reply.error().code for reply in replies}
    assert "taken" in codes
    assert codes <= {"taken", ErrorCode.MEMORY_FULL, ErrorCode.SESSION_EXPIRED, ErrorCode.INVALID_VALUE}
    assert (await bystander.execute("x", small, create=False)).result == "1"
    assert group.kills() == 0


async def test_replies_that_the_server_keeps_end_with_the_sessions_that_are_ended_for_memory(
    client: SandboxClient, server: SandboxServer, group: MemoryGroup
) -> None:
    event = (8 << 20) - 100
    code = f"import sandbox\nsandbox.emit('e', 'x' * {event})"
    sessions = [new_id(f"kept{number}") for number in range(40)]
    for session in sessions:
        reply = await client.execute(code, session, request_id="r")
    found = [(await client.request("GET", f"/sessions/{session}")).status for session in sessions]
    live = found.count(200)
    assert 1 <= live < len(sessions)
    assert live * event <= (await client.metrics())["wasm_server_kept_bytes", ""] < (live + 1) * event
    await eventually(lambda: resident_bytes(server.pid) < (live + 1) * event + (150 << 20))
    assert await client.execute(code, sessions[-1], request_id="r") == reply
    assert group.kills() == 0
