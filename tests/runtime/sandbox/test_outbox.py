"""Replies that their clients do not read take a bounded share of the server's memory, and for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtime.sandbox.errors import RequestError
from runtime.sandbox.outbox import SMALL, Outbox
from runtime.wire import ErrorCode
from tests.runtime.sandbox.eventually import eventually

LARGE = 32 << 20  # much more than the sockets hold
SECONDS = 60.0


class Service:
    """Serves `size` bytes at /SIZE through `outbox`; keeps count of the replies that are under way."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.sending = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = b"x" * int(request.match_info["size"])
        self.sending += 1
        try:
            return await self._outbox.send(request, web.Response(body=body, headers={"X-Kept": "yes"}), "a")
        finally:
            self.sending -= 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Callable[[int], asyncio.Future[tuple[asyncio.StreamReader, bytes]]]]:
        """Gives a function that asks for so many bytes; its answer is the rest of the stream and its first line."""
        app = web.Application()
        app.router.add_get("/{size}", self.handle)
        async with TestServer(app, handler_cancellation=True) as server:
            writers: list[asyncio.StreamWriter] = []

            async def ask(size: int) -> tuple[asyncio.StreamReader, bytes]:
                reader, writer = await asyncio.open_connection(server.host, server.port)
                writers.append(writer)
                writer.write(f"GET /{size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                return reader, await reader.readline()

            yield lambda size: asyncio.ensure_future(ask(size))
            for writer in writers:
                writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), SECONDS)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("size", [0, 5, SMALL, SMALL + 1, LARGE])
async def test_a_client_that_reads_gets_the_whole_reply_with_its_headers(size: int) -> None:
    async with Service(Outbox(LARGE // 2, SECONDS)).running() as ask:
        reader, status = await ask(size)
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 200")
        assert b"X-Kept: yes" in head
        assert f"Content-Length: {size}".encode() in head
        assert body == b"x" * size


async def test_a_client_that_does_not_read_is_cut_off_in_time() -> None:
    service = Service(Outbox(10 * LARGE, 0.2))
    async with service.running() as ask:
        reader, _ = await ask(LARGE)
        await eventually(lambda: service.sending == 0)
        assert len(await rest(reader)) < LARGE


async def test_while_others_wait_a_reply_that_is_read_too_slowly_makes_place() -> None:
    service = Service(Outbox(LARGE, 10 * SECONDS, patience=0.2))
    async with service.running() as ask:
        slow, _ = await ask(LARGE)
        reader, _ = await ask(LARGE)
        assert len(await rest(reader)) > LARGE  # with its headers
        assert len(await rest(slow)) < LARGE


async def test_many_who_read_at_once_get_their_replies_one_after_the_other() -> None:
    service = Service(Outbox(2 * LARGE, SECONDS))
    async with service.running() as ask:

        async def read() -> int:
            reader, _ = await ask(LARGE)
            return len(await rest(reader))

        assert all(size > LARGE for size in await asyncio.gather(*(read() for _ in range(8))))


async def test_without_room_in_time_a_request_is_429() -> None:
    outbox = Outbox(LARGE, 0.1)
    async with outbox.room(LARGE):
        with pytest.raises(RequestError) as refused:
            async with outbox.room(1):
                pass
    assert (refused.value.code, refused.value.status) == (ErrorCode.QUEUE_TIMEOUT, 429)
    async with outbox.room(10 * LARGE):  # more than there is: what there is
        pass


async def test_who_leaves_replies_unread_is_429_until_they_are_gone_and_others_are_not() -> None:
    outbox = Outbox(LARGE, SECONDS)
    service = Service(outbox)
    async with service.running() as ask:
        async with outbox.room(LARGE):
            asked = [ask(LARGE // 3) for _ in range(2)]
            await eventually(lambda: service.sending == 2)
            with pytest.raises(RequestError) as refused:
                outbox.refuse_if_behind("a")
            assert (refused.value.code, refused.value.status) == (ErrorCode.QUEUE_FULL, 429)
            outbox.refuse_if_behind("b")
        for asking in asked:
            assert len(await rest((await asking)[0])) > LARGE // 3
        outbox.refuse_if_behind("a")
