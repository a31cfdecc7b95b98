"""Memory, output and time of a cell are bounded, and whatever a cell does another session goes on."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.processes import data_bytes, descendants, is_node
from tests.runtime.sandbox.server import SandboxServer

ENDS: Final = {Status.ERROR, Status.CRASHED, Status.TIMEOUT}
# In Pyodide's heap; in files, which are JavaScript's; in JavaScript's own arrays.
BOMBS: Final = {
    "list": "l = []\nwhile True: l.append(bytes(10 ** 6))",
    "string": "s = 'x'\nwhile True: s += s",
    "files": "n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{n}', 'wb').write(bytes(10 ** 7))",
    "proxies": "from pyodide.ffi import to_js\nl = []\nwhile True: l.append(to_js(list(range(1000))))",
}
BESIDES: Final = 1_100 << 20  # of Node's writable memory, besides the session's limit: what it reserves itself


@pytest.fixture
async def other(client: SandboxClient) -> str:
    """Another session, which answers throughout."""
    session = new_id("other")
    await client.execute("y = 'other'", session)
    return session


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_memory_bomb_ends_within_the_bound_and_another_session_answers_meanwhile(
    client: SandboxClient, server: SandboxServer, other: str, bomb: str
) -> None:
    running = asyncio.create_task(client.execute(BOMBS[bomb], new_id(), timeout=20))
    largest = 0
    while not running.done():
        assert (await client.execute("y", other)).result == "'other'"
        largest = max(largest, *(data_bytes(pid) for pid in descendants(server.pid) if is_node(pid)))
        await asyncio.sleep(0.05)
    reply = await running
    assert reply.status in ENDS
    assert reply.error is not None
    if bomb in ("list", "string"):
        assert reply.error.type == "MemoryError"
    assert largest < (256 << 20) + BESIDES


async def test_a_memory_error_leaves_the_session_as_it_was(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("x = 42", session)
    reply = await client.execute("y = 'x' * 300_000_000", session)  # less than the kernel's bound
    assert reply.error is not None
    assert (reply.status, reply.error.type) == (Status.ERROR, "MemoryError")
    assert (await client.execute("x", session, create=False)).result == "42"


async def test_output_past_sys_stdout_is_captured_and_capped(client: SandboxClient) -> None:
    session = new_id()
    reply = await client.execute("import os; print('a'); os.write(1, b'b\\xff\\n'); os.write(2, b'c')", session)
    assert (reply.stdout, reply.stderr, reply.stdout_truncated) == ("a\nb\ufffd\n", "c", False)
    flood = await client.execute("for _ in range(40): os.write(1, bytes(100_000))", session, timeout=20)
    assert len(flood.stdout.encode()) == 1 << 20
    assert flood.stdout_truncated
    assert (await client.execute("os.write(1, b'd')", session)).stdout == "d"


async def test_nothing_that_a_cell_writes_reaches_the_services_log(server: SandboxServer) -> None:
    async with connect(server) as client:
        await client.execute("import os; os.write(1, b'to-the-log'); os.write(2, b'to-the-log')")
        await client.execute("import ctypes; ctypes.CDLL(None).puts(b'to-the-log'); os = 1; ctypes.string_at(0, -1)")
    assert "to-the-log" not in server.log.read_text()
