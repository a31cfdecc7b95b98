"""Sessions that are idle for long keep one process, and lose nothing by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.wire import ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import sessions_of
from tests.runtime.sandbox.server import SandboxServer, run_server

SPIN = "while True: pass"
ABORT = "import os; os.abort()"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with run_server(spares=0, park_seconds=1.5) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    await eventually(lambda: not sessions_of(server.pid))
    async with connect(server) as connected:
        yield connected


async def parked(client: SandboxClient, server: SandboxServer, **options: object) -> str:
    """A session of which one process is left; x is 1, and f a generator that was begun."""
    session = (await client.create(session_id=new_id(), **options)).session_id
    await client.execute("x = 1\nf = iter(range(9)); next(f)", session)
    await eventually(lambda: len(sessions_of(server.pid)) == 2)
    await eventually(lambda: len(sessions_of(server.pid)) == 1)
    return session


@pytest.mark.parametrize("policy", ["cell", "idle"])
async def test_a_bad_cell_in_a_parked_session_rolls_back_to_the_cell_before(
    client: SandboxClient, server: SandboxServer, policy: str
) -> None:
    session = await parked(client, server, checkpoint=policy)
    for bad, status in ((ABORT, Status.CRASHED), (SPIN, Status.TIMEOUT)):
        reply = await client.execute(f"x = 2; next(f)\n{bad}", session, timeout=3)
        assert (reply.status, reply.rolled_back_to) == (status, reply.cell - 1)
        assert (await client.execute("x, next(f)", session)).result is not None
        await eventually(lambda: len(sessions_of(server.pid)) == 1)
    assert (await client.execute("x, list(f)", session)).result == "(1, [3, 4, 5, 6, 7, 8])"


async def test_a_parked_session_takes_variables_and_can_be_branched(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = await parked(client, server)
    branch = (await client.fork(session)).session_id
    assert (await client.execute("x, next(f)", branch)).result == "(1, 1)"
    await client.delete(branch)
    await eventually(lambda: len(sessions_of(server.pid)) == 1)
    await client.put(session, "text", b"abc")
    assert (await client.execute(f"x = 3\n{ABORT}", session)).rolled_back_to == 1
    assert (await client.execute("x, text, next(f)", session)).result == "(1, 'abc', 1)"


async def test_a_session_without_checkpoints_stays_as_it_is(client: SandboxClient, server: SandboxServer) -> None:
    session = (await client.create(session_id=new_id(), checkpoint="off")).session_id
    await client.execute("x = 1", session)
    reply = await client.execute(ABORT, session)
    assert (reply.status, reply.session_lost) == (Status.CRASHED, True)
    await client.refused(
        404, ErrorCode.SESSION_EXPIRED, "POST", "/execute", json={"code": "x", "session_id": session, "create": False}
    )
