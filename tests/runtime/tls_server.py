"""A served application with TLS in the test's own event loop, and clients that come with a new connection each time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from runtime.tls import TlsFolder
from runtime.tls_files import Side
from runtime.web import Listening, Operations, Server
from tests.runtime.certificates import HOST

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Running:
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/echo"


@asynccontextmanager
async def serve(
    folder: Path, metrics_port: int | None = None, handler: Handler | None = None, max_connections: int = 100
) -> AsyncIterator[Running]:
    """/echo answers with the client's port, or as `handler` does."""
    app = web.Application()
    app.router.add_post("/echo", handler or _echo)
    listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    tls = TlsFolder("TEST_TLS_DIR", folder, Side.SERVER).following_context()
    operations = Operations(CollectorRegistry(), lambda: None)
    server = Server(
        app, operations, HOST, 0, metrics_port, tls, max_connections=max_connections, on_listening=listening.set_result
    )
    serving = asyncio.create_task(server.serve())
    try:
        ports = await listening
        yield Running(ports.api_port, ports.metrics_port)
    finally:
        server.stopping.set()
        await serving


async def _echo(request: web.Request) -> web.Response:
    """One connection has one port: whoever gets the same twice has kept it."""
    assert request.transport is not None
    return web.Response(text=str(request.transport.get_extra_info("peername")[1]))


@asynccontextmanager
async def connect(context: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        yield http


async def ask(http: aiohttp.ClientSession, url: str) -> str:
    async with http.post(url) as response:
        response.raise_for_status()
        return await response.text()


async def ask_anew(url: str, context: ssl.SSLContext) -> str:
    """Over a connection of its own. Raises aiohttp's ClientError when refused."""
    async with connect(context) as http:
        return await ask(http, url)


async def presented(running: Running, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection is shown, as DER."""
    _, writer = await asyncio.open_connection(HOST, running.port, ssl=context)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return certificate
