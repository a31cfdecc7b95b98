"""A gateway before the service, as an ingress is: it hands requests on and remembers them, and can refuse the next ones
or cut their connections, which is how a network fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

HOP_BY_HOP: Final = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})


@dataclass(frozen=True)
class Refuse:
    """A reply of the gateway's own."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """The request reaches the service; after `moment` the connections on both sides break, before any reply."""

    moment: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class CutReply:
    """The connections break after the first bytes of the reply's body."""


Fault = Refuse | Cut | CutReply


class Gateway:
    def __init__(self, upstream: str, http: aiohttp.ClientSession) -> None:
        self.url = ""
        self.faults: deque[Fault] = deque()  # of the next requests, in order
        self.retries: list[str] = []  # x-stainless-retry-count of each request
        self._upstream = upstream
        self._http = http
        self._changed = asyncio.Condition()

    async def until_requests(self, count: int) -> None:
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: len(self.retries) >= count)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.retries.append(request.headers.get("x-stainless-retry-count", ""))
        async with self._changed:
            self._changed.notify_all()
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, Refuse):
            error = {"error": {"message": "refused", "type": "gateway", "param": None, "code": "gateway"}}
            return web.json_response(error, status=fault.status, headers=fault.headers)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        asking = self._http.request(
            request.method,
            self._upstream + request.raw_path,
            headers=headers,
            data=await request.read(),
            auto_decompress=False,
        )
        if isinstance(fault, Cut):
            asked = asyncio.ensure_future(self._await(asking))
            await fault.moment()
            asked.cancel()
            await asyncio.wait([asked])
            return _hang_up(request)
        async with asking as reply:
            response = web.StreamResponse(status=reply.status, headers=_end_to_end(reply))
            await response.prepare(request)
            async for chunk in reply.content.iter_any():
                await response.write(chunk)
                if isinstance(fault, CutReply):
                    return _hang_up(request, response)
            await response.write_eof()
            return response

    async def _await(self, asking: contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]) -> None:
        async with asking as reply:
            await reply.read()


def _end_to_end(reply: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.lower() not in HOP_BY_HOP}


def _hang_up(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return response or web.Response()


@contextlib.asynccontextmanager
async def run_gateway(upstream: str) -> AsyncIterator[Gateway]:
    async with aiohttp.ClientSession() as http:
        gateway = Gateway(upstream, http)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", gateway.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield gateway
        finally:
            await runner.cleanup()
