"""Bodies of requests: refused as soon as they are known to be too large, and held no longer than they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtime.sandbox.bodies import MAX_PLAIN_REQUEST, MAX_REQUEST, SMALL, Bodies, Body
from runtime.sandbox.errors import RequestError
from runtime.sandbox.host_answer import HostAnswer
from runtime.wire import ErrorCode, ErrorDetail, ResumeRequest
from tests.runtime.sandbox.client import SandboxClient
from tests.runtime.sandbox.eventually import DEADLINE, eventually
from tests.runtime.sandbox.server import KEYS, SandboxServer

LARGEST_VARIABLE: Final = 64 << 20  # the pool's default
ROOM: Final = 4 << 20


@asynccontextmanager
async def unfinished(server: SandboxServer, start: str, framing: str) -> AsyncIterator[asyncio.StreamWriter]:
    """A request of which only the head was sent; at the end its reply must be a 413."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"{start} HTTP/1.1", "Host: sandbox", f"Authorization: Bearer {KEYS['alice']}", framing]
    head += ["Content-Type: text/plain", "Connection: close", "", ""]
    writer.write("\r\n".join(head).encode())
    yield writer
    async with asyncio.timeout(DEADLINE):
        assert b" 413 " in await reader.readline()
        body = (await reader.readuntil(b"\r\n\r\n"), await reader.readuntil(b"}}"))[1]
    assert ErrorDetail.model_validate_json(body[len(b'{"error":') : -1]).code is ErrorCode.TOO_LARGE
    writer.close()


@pytest.mark.parametrize(
    ("start", "limit"),
    [
        ("POST /execute", MAX_PLAIN_REQUEST),
        ("POST /sessions/s/resume", MAX_REQUEST),
        ("PUT /sessions/s/variables/v", LARGEST_VARIABLE),
    ],
)
async def test_a_body_that_says_it_is_too_large_is_413_before_a_byte_of_it_came(
    server: SandboxServer, start: str, limit: int
) -> None:
    async with unfinished(server, start, f"Content-Length: {limit + 1}"):
        pass


async def test_a_body_of_no_stated_length_is_413_at_the_limit_and_not_at_its_end(server: SandboxServer) -> None:
    async with unfinished(server, "POST /execute", "Transfer-Encoding: chunked") as writer:
        chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        writer.write(chunk * (MAX_PLAIN_REQUEST // (1 << 20) + 1))


async def test_a_client_that_sends_all_of_a_refused_body_reads_its_413(client: SandboxClient) -> None:
    await client.refused(413, ErrorCode.TOO_LARGE, "POST", "/execute", data=b"x" * 2 * MAX_REQUEST)


class Service:
    """Reads resumes through `bodies`, and keeps each one's answer until the test takes it."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.answers: list[HostAnswer] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            async with self._bodies.read(request, MAX_REQUEST) as body:
                return await self._hold(body)
        except RequestError as error:
            return web.Response(status=error.status, text=error.message)

    async def _hold(self, body: Body) -> web.StreamResponse:
        answer = HostAnswer(body.parse(ResumeRequest), body.release)
        self.answers.append(answer)
        await eventually(lambda: answer.text() == "")
        return web.Response()


async def test_bodies_beyond_their_room_are_429_until_the_guest_has_been_told_an_earlier_one() -> None:
    service = Service(Bodies(DEADLINE, ROOM))
    app = web.Application()
    app.router.add_post("/", service.handle)
    async with TestServer(app) as server, asyncio.TaskGroup() as tasks:

        async def resume(size: int) -> int:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            body = ResumeRequest(call_id="c", result="x" * size).model_dump_json().encode()
            head = f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            status = int((await reader.readline()).split()[1])
            writer.close()
            return status

        first = tasks.create_task(resume(ROOM // 2))
        await eventually(lambda: len(service.answers) == 1)
        assert await resume(ROOM // 2) == 429  # with what is around the text it is more than the rest
        small = tasks.create_task(resume(SMALL // 2))  # which takes no room
        await eventually(lambda: len(service.answers) == 2)
        assert service.answers[0].take(reseed=False) == b'{"result": "' + b"x" * (ROOM // 2) + b'"}'
        assert await first == 200
        second = tasks.create_task(resume(ROOM // 2))
        await eventually(lambda: len(service.answers) == 3)
        for answer in service.answers:
            answer.take(reseed=True)
        assert (await second, await small) == (200, 200)
