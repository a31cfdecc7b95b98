"""What callers and guests send takes a bounded share of the server's own memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.wire import ErrorCode, ErrorDetail, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import descriptors, peak_resident_bytes
from tests.runtime.sandbox.server import KEYS, SandboxServer, run_server

VARIABLE = 8 << 20
GUEST = 192 << 20
ROOM = VARIABLE + GUEST
MUCH = 400 << 20  # a message of 64 MB is held in its parts, whole and once more where strings are left out
FORGE = """
import os
door = os.open('/host/door', os.O_RDWR)
text = b'{"status": "ok", "locals": {"x": {"type": "", "repr": "", "value": [' + b'[],' * 15_000_000 + b'1]}}}'
os.write(door, b'N' + text)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with run_server(variable_bytes=VARIABLE, memory_bytes=GUEST) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(server) as connected:
        yield connected


def bytes_of_bodies(server: SandboxServer) -> int:
    """What the server's memory files hold."""
    held = 0
    for number, target in descriptors(server.pid).items():
        if "memfd:" in target:
            with suppress(FileNotFoundError):  # closed since
                held += Path(f"/proc/{server.pid}/fd/{number}").stat().st_blocks * 512
    return held


async def unfinished_upload(server: SandboxServer, session: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """All of a body but its last byte."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"PUT /sessions/{session}/variables/v HTTP/1.1", "Host: sandbox", f"Authorization: Bearer {KEYS['alice']}"]
    head += ["Content-Type: text/plain", f"Content-Length: {VARIABLE}", "Connection: close", "", ""]
    writer.write("\r\n".join(head).encode() + b"x" * (VARIABLE - 1))
    return reader, writer


async def test_bodies_of_many_slow_uploads_are_429_beyond_their_room_and_others_are_served(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    targets = [(await client.create()).session_id for _ in range(2 * ROOM // VARIABLE)]
    uploads = [await unfinished_upload(server, target) for target in targets]
    refusals = [asyncio.ensure_future(reader.read()) for reader, _ in uploads]
    await eventually(lambda: sum(refusal.done() for refusal in refusals) >= ROOM // VARIABLE - 1)
    assert bytes_of_bodies(server) <= ROOM
    assert (await client.execute("x", session)).result == "1"
    for refusal in refusals:
        if refusal.done():
            head, _, body = refusal.result().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 429 ")
            assert b"Retry-After" in head
            error = ErrorDetail.model_validate_json(body[len(b'{"error":') : -1])
            assert error.code is ErrorCode.QUEUE_FULL
    for refusal, (_, writer) in zip(refusals, uploads, strict=True):
        refusal.cancel()
        writer.close()
    await eventually(lambda: bytes_of_bodies(server) == 0)
    assert (await client.put(session, "v", b"x" * VARIABLE)).length == VARIABLE


async def test_forged_answers_of_very_many_values_do_not_fill_the_servers_memory(
    client: SandboxClient, server: SandboxServer
) -> None:
    neighbour = new_id()
    await client.execute("y = 2", neighbour)
    for _ in range(3):
        session = new_id()
        await client.execute("x = 1", session)
        reply = await client.execute(FORGE, session)
        assert (reply.status, reply.session_lost) == (Status.CRASHED, True)
        assert (await client.execute("y", neighbour)).result == "2"
    assert peak_resident_bytes(server.pid) < MUCH


async def test_bodies_of_very_many_values_are_400_and_do_not_fill_the_servers_memory(
    client: SandboxClient, server: SandboxServer
) -> None:
    body = b'{"code": "1", "x": [' + b"[]," * 2_600_000 + b"1]}"
    for _ in range(3):
        await client.refused(400, ErrorCode.MALFORMED, "POST", "/execute", data=body)
    assert peak_resident_bytes(server.pid) < MUCH


async def test_variables_that_their_readers_leave_unread_do_not_fill_the_servers_memory(
    client: SandboxClient, server: SandboxServer
) -> None:
    session = new_id()
    await client.execute(f"v = 'x' * {VARIABLE}", session)
    host, port = server.url.removeprefix("http://").split(":")
    head = f"GET /sessions/{session}/variables/v HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEYS['alice']}\r\n\r\n"
    writers = []
    for _ in range(80):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writers.append(writer)
    assert (await client.execute("len(v)", session)).result == str(VARIABLE)
    assert peak_resident_bytes(server.pid) < MUCH
    for writer in writers:
        writer.close()
