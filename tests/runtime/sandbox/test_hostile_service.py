"""A service whose session processes speak garbage: each cell has a reply, and the service serves on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.hostile.zygote import TRICKS
from tests.runtime.sandbox.processes import descendants, descriptors, resident_bytes
from tests.runtime.sandbox.server import SandboxServer, run_server

ANSWERED = {"good", "descriptors", "from a child", "done a thousand times"}
MEMORY = 600 << 20  # a message may have 160 MB; it is held once in parts and once whole


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with run_server("tests.runtime.sandbox.hostile", spares=1, timeout_seconds=2) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(server) as connected:
        yield connected


@pytest.mark.parametrize("trick", TRICKS)
async def test_a_process_that_speaks_garbage_ends_its_own_session_and_nothing_else(
    client: SandboxClient, server: SandboxServer, trick: str
) -> None:
    neighbour, session = new_id("neighbour"), new_id()
    assert (await client.execute("good", neighbour)).stdout == "answered"
    reply = await client.execute(trick, session)
    if trick in ANSWERED:
        assert (reply.status, reply.stdout) == (Status.OK, "answered")
    else:
        assert reply.status in (Status.CRASHED, Status.TIMEOUT, Status.INTERRUPTED)
    assert (await client.execute("good", neighbour, create=False)).stdout == "answered"
    await client.delete(session)
    await client.delete(neighbour)
    assert resident_bytes(server.pid) < MEMORY


async def test_after_all_of_them_no_descriptor_process_or_error_is_left(
    client: SandboxClient, server: SandboxServer
) -> None:
    assert (await client.execute("good", new_id())).stdout == "answered"  # the connection is open, a spare is there
    await client.close()

    async def a_spare_is_ready() -> bool:
        """Until it has said hello, the server does not hold all descriptors that belong to it."""
        return (await client.metrics())["wasm_spares", ""] == 1 and len(descendants(server.pid)) == 2

    await eventually(a_spare_is_ready)
    before = len(descriptors(server.pid))
    for trick in TRICKS:
        if trick != "silence":
            session = new_id()
            await client.execute(trick, session)
            await client.delete(session)
    await eventually(lambda: len(descendants(server.pid)) == 2)  # the zygote and a spare
    await eventually(lambda: len(descriptors(server.pid)) <= before)
    assert [line for line in server.log_lines() if line["level"] == "ERROR"] == []
