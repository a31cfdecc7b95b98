"""Policy `idle` while more cells run than there are CPUs: checkpoints wait, and what they must cover is covered.

The service has one CPU, and a cell that sleeps runs all the time: every other cell is in a crowd.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.long_cell import one_cpu
from tests.runtime.sandbox.processes import sessions_of
from tests.runtime.sandbox.server import SandboxServer, run_server

LONG: Final = "import time; time.sleep(300)"
A_MOMENT: Final = "import time; time.sleep(0.1)"  # many times 20 ms
ABORT: Final = "import os; os.abort()"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with contextlib.ExitStack() as stack:
        with one_cpu():
            running = stack.enter_context(run_server(spares=0, timeout_seconds=600))
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    await eventually(lambda: not sessions_of(server.pid))
    async with connect(server) as connected:
        yield connected


@pytest.fixture
async def crowd(client: SandboxClient) -> AsyncIterator[str]:
    """The session whose cell runs all the time."""
    session = new_id("crowd")
    await client.execute("0", session)
    running = asyncio.create_task(client.execute(LONG, session))

    async def runs() -> bool:
        return (await client.describe(session)).state == "running"

    await eventually(runs)
    yield session
    await client.interrupt(session)
    assert (await running).status is Status.INTERRUPTED


async def forks_after_a_moment(client: SandboxClient, session: str, other: str) -> bool:
    """Whether the session took a checkpoint in the moment between two cells."""
    await client.execute("x = 1", session)
    await client.execute(A_MOMENT, other)
    return (await client.execute("x = 2", session)).timing.forked > 0


async def test_a_short_rest_in_a_crowd_brings_no_checkpoint(client: SandboxClient, crowd: str) -> None:
    session, other = (await client.create(checkpoint="idle")).session_id, new_id("other")

    async def is_put_off() -> bool:
        return not await forks_after_a_moment(client, session, other)

    await eventually(is_put_off)  # on a slow machine a moment may be long


async def test_a_short_rest_alone_brings_a_checkpoint(client: SandboxClient) -> None:
    session, other = (await client.create(checkpoint="idle")).session_id, new_id("other")
    assert await forks_after_a_moment(client, session, other)


async def test_a_long_rest_in_a_crowd_brings_a_checkpoint(
    client: SandboxClient, server: SandboxServer, crowd: str
) -> None:
    session = (await client.create(checkpoint="idle")).session_id
    before = len(sessions_of(server.pid))
    await client.execute("x = 1", session)
    await eventually(lambda: len(sessions_of(server.pid)) == before + 1)
    reply = await client.execute(f"x = 2; {ABORT}", session)
    assert (reply.status, reply.rolled_back_to) == (Status.CRASHED, 1)
    assert (await client.execute("x", session)).result == "1"


async def test_a_quarter_second_of_cells_is_covered_before_the_next_cell_also_in_a_crowd(
    client: SandboxClient, crowd: str
) -> None:
    session = (await client.create(checkpoint="idle")).session_id
    await client.execute("import time; time.sleep(0.3); x = 1", session)
    assert (await client.execute(f"x = 2; {ABORT}", session)).rolled_back_to == 1
    assert (await client.execute("x", session)).result == "1"


async def test_a_host_call_is_covered_before_the_next_cell_also_in_a_crowd(client: SandboxClient, crowd: str) -> None:
    session = (await client.create(checkpoint="idle", host_functions=["ask"])).session_id
    waiting = await client.execute("x = ask()", session)
    assert waiting.call is not None
    assert (await client.resume(session, waiting.call.id, result="answer")).status is Status.OK
    assert (await client.execute(f"x = 2; {ABORT}", session)).rolled_back_to == 1
    assert (await client.execute("x", session)).result == "'answer'"


async def test_a_cell_is_covered_by_policy_cell_also_in_a_crowd(client: SandboxClient, crowd: str) -> None:
    session = (await client.create(checkpoint="cell")).session_id
    await client.execute("x = 1", session)
    assert (await client.execute(f"x = 2; {ABORT}", session)).rolled_back_to == 1
    assert (await client.execute("x", session)).result == "1"
