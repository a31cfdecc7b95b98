"""Connections on their way into TLS: how many at once, and that nothing of them is lost or left behind."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trustme

from runtime.handshakes import Handshakes
from tests.runtime.certificates import HOST, client_context, issue
from tests.runtime.sandbox.eventually import DEADLINE, eventually


class Echo(asyncio.Protocol):
    """Sends back what it is sent."""

    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


@dataclass(frozen=True)
class Port:
    port: int
    client: ssl.SSLContext
    handshakes: Handshakes
    accepted: list[Echo]


@asynccontextmanager
async def listen(most: int = 100, seconds: float = 10 * DEADLINE) -> AsyncIterator[Port]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issue(authority).configure_cert(context)
    accepted: list[Echo] = []

    def accept() -> Echo:
        accepted.append(Echo())
        return accepted[-1]

    handshakes = Handshakes(context, accept, most, seconds)
    server = await asyncio.get_running_loop().create_server(handshakes.protocol, HOST, 0)
    try:
        yield Port(server.sockets[0].getsockname()[1], client_context(authority), handshakes, accepted)
    finally:
        server.close()
        handshakes.close()
        for echo in accepted:
            if echo.transport is not None:
                echo.transport.abort()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(DEADLINE):
            return await reader.read()
    except ConnectionResetError:
        return b""


async def exchange(port: Port) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port.port, ssl=port.client)
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_beyond_the_most_handshakes_the_oldest_is_dropped_and_a_new_client_is_served() -> None:
    async with listen(most=3) as port:
        silent = [await asyncio.open_connection(HOST, port.port) for _ in range(3)]
        assert await exchange(port) == b"hello"
        assert await until_closed(silent[0][0]) == b""
        assert not any(reader.at_eof() for reader, _ in silent[1:])
        for _, writer in silent:
            writer.close()


async def test_data_that_comes_with_the_end_of_the_handshake_is_not_lost() -> None:
    async with listen() as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = port.client.wrap_bio(incoming, outgoing, server_hostname=HOST)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65536))
        tls.write(b"at once")
        writer.write(outgoing.read())  # the handshake's last message and the data, in one piece
        answer = b""
        while len(answer) < len(b"at once"):
            incoming.write(await reader.read(65536))
            try:
                answer += tls.read(100)
            except ssl.SSLWantReadError:
                continue
        assert answer == b"at once"
        writer.close()


async def test_a_client_that_leaves_or_speaks_no_tls_is_not_handed_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with listen() as port:
        _, writer = await asyncio.open_connection(HOST, port.port)
        writer.close()
        reader, writer = await asyncio.open_connection(HOST, port.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until_closed(reader)
        await eventually(lambda: caplog.messages.count("TLS handshake failed") == 2)
        assert not port.accepted
        assert any("HTTP_REQUEST" in record.__dict__["error"] for record in caplog.records)
        assert all(HOST in record.__dict__["client"] for record in caplog.records)
        writer.close()
        assert await exchange(port) == b"hello"


async def test_at_the_end_unfinished_handshakes_are_closed() -> None:
    async with listen() as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        assert await exchange(port) == b"hello"
    assert await until_closed(reader) == b""
    writer.close()


async def test_a_client_that_says_nothing_is_closed_after_a_while() -> None:
    async with listen(seconds=0.1) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        assert await until_closed(reader) == b""
        writer.close()
