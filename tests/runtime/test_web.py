"""What both services share over HTTP: ports, request ids, readiness, draining."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from runtime.web import (
    REQUEST_ID,
    REQUEST_ID_HEADER,
    Listening,
    Operations,
    Server,
    request_id_middleware,
    set_request_id,
)


@dataclass
class Running:
    api: str
    metrics: str
    server: Server
    serving: asyncio.Task[None]
    http: aiohttp.ClientSession
    reason: list[str | None]

    async def get(self, url: str, **options: object) -> tuple[int, str]:
        async with self.http.get(url, **options) as response:  # type: ignore[arg-type]  # aiohttp's own options
            return response.status, await response.text()


@asynccontextmanager
async def run(
    metrics_port: int | None = None,
    drain: Callable[[], Awaitable[None]] | None = None,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
    *,
    cancel_on_disconnect: bool = False,
    idle_seconds: float = 60.0,
    max_connections: int = 100,
) -> AsyncIterator[Running]:
    app = web.Application(middlewares=[request_id_middleware])
    app.on_response_prepare.append(set_request_id)

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request[REQUEST_ID])

    app.router.add_get("/echo", handler or echo)
    registry = CollectorRegistry()
    Counter("things", "Things", registry=registry).inc()
    reason: list[str | None] = [None]
    listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    server = Server(
        app,
        Operations(registry, lambda: reason[0], lambda: ["missing: a seat belt"]),
        "127.0.0.1",
        0,
        metrics_port,
        drain=drain,
        cancel_on_disconnect=cancel_on_disconnect,
        idle_seconds=idle_seconds,
        max_connections=max_connections,
        on_listening=listening.set_result,
    )
    serving = asyncio.create_task(server.serve())
    try:
        ports = await listening
        async with aiohttp.ClientSession() as http:
            urls = [f"http://127.0.0.1:{port}" for port in (ports.api_port, ports.metrics_port)]
            yield Running(urls[0], urls[1], server, serving, http, reason)
    finally:
        server.stopping.set()
        await serving


async def test_without_a_metrics_port_operations_are_on_the_apis() -> None:
    async with run() as service:
        assert service.api == service.metrics
        assert await service.get(f"{service.api}/healthz") == (200, '{"status": "ok"}')
        status, text = await service.get(f"{service.api}/metrics")
        assert status == 200
        assert "things_total 1.0" in text


async def test_with_a_metrics_port_operations_are_only_there_and_the_api_only_on_its_own() -> None:
    async with run(metrics_port=0) as service:
        assert service.api != service.metrics
        for path in ("/healthz", "/readyz", "/metrics", "/version"):
            assert (await service.get(service.metrics + path))[0] == 200
            assert (await service.get(service.api + path))[0] == 404
        assert (await service.get(f"{service.metrics}/echo"))[0] == 404


async def test_readiness_says_what_the_service_does_without() -> None:
    async with run() as service:
        expected = '{"status": "ready", "notes": ["missing: a seat belt"]}'
        assert await service.get(f"{service.api}/readyz") == (200, expected)


async def test_not_ready_is_503_with_the_reason_and_still_healthy() -> None:
    async with run() as service:
        service.reason[0] = "compiling"
        status, text = await service.get(f"{service.api}/readyz")
        assert status == 503
        assert "compiling" in text
        assert (await service.get(f"{service.api}/healthz"))[0] == 200


async def test_version_is_the_distributions() -> None:
    async with run() as service:
        assert await service.get(f"{service.api}/version") == (200, f'{{"version": "{version("rlm-operator")}"}}')


@pytest.mark.parametrize("given", ["abc-123", "A.b_c", "x" * 128])
async def test_a_harmless_request_id_is_kept(given: str) -> None:
    async with run() as service, service.http.get(f"{service.api}/echo", headers={REQUEST_ID_HEADER: given}) as reply:
        assert reply.headers[REQUEST_ID_HEADER] == given == await reply.text()


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", 'a"b', "é"])
async def test_another_request_id_is_replaced(given: str) -> None:
    async with run() as service, service.http.get(f"{service.api}/echo", headers={REQUEST_ID_HEADER: given}) as reply:
        assert reply.headers[REQUEST_ID_HEADER] != given
        assert len(reply.headers[REQUEST_ID_HEADER]) == 32


async def test_each_request_without_an_id_gets_its_own() -> None:
    async with run() as service:
        first, second = [await service.get(f"{service.api}/echo") for _ in range(2)]
        assert first != second


async def test_sigterm_drains_while_the_api_still_answers_and_then_ends() -> None:
    draining, drained = asyncio.Event(), asyncio.Event()

    async def drain() -> None:
        draining.set()
        await drained.wait()

    async with run(drain=drain) as service:
        os.kill(os.getpid(), signal.SIGTERM)
        await draining.wait()
        assert (await service.get(f"{service.api}/echo"))[0] == 200
        drained.set()
        await service.serving
        with pytest.raises(aiohttp.ClientConnectionError):
            await service.get(f"{service.api}/echo")


async def test_a_handler_is_cancelled_when_its_client_goes_away_if_asked_for() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return web.Response()

    async with run(handler=handler, cancel_on_disconnect=True) as service:
        asking = asyncio.create_task(service.get(f"{service.api}/echo"))
        await entered.wait()
        asking.cancel()
        await asyncio.wait_for(cancelled.wait(), 60)


async def test_a_port_in_use_is_an_error_and_leaves_nothing_open() -> None:
    async with run() as service:
        port = int(service.api.rpartition(":")[2])
        second = Server(web.Application(), service.server.operations, "127.0.0.1", port)
        with pytest.raises(OSError, match="address already in use"):
            await second.serve()


async def connect(service: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that says what a test wants."""
    return await asyncio.open_connection("127.0.0.1", int(service.api.rpartition(":")[2]))


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What comes before the service closes the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("start", [b"", b"G", b"GET /echo HTTP/1.1\r\n", b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\nGET "])
async def test_a_connection_without_a_whole_request_head_is_closed_also_while_its_bytes_trickle_in(
    start: bytes,
) -> None:
    async with run(idle_seconds=0.3) as service:
        reader, writer = await connect(service)
        writer.write(start)

        async def trickle() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"X" if start else b"")
                    await writer.drain()
                    await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        answer = await until_closed(reader)
        assert answer.startswith(b"HTTP/1.1 200") == (b"Host" in start)
        assert (await service.get(f"{service.api}/healthz"))[0] == 200
        trickling.cancel()
        writer.close()


async def test_beyond_the_most_connections_the_oldest_idle_one_is_closed_and_a_new_one_is_served() -> None:
    async with run(max_connections=3) as service:
        idle = [await connect(service) for _ in range(3)]
        assert (await service.get(f"{service.api}/healthz"))[0] == 200
        assert await until_closed(idle[0][0]) == b""
        for reader, writer in idle[1:]:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        for _, writer in idle:
            writer.close()


async def test_a_connection_with_a_request_under_way_is_not_closed_for_a_new_one() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        entered.set()
        await go_on.wait()
        return web.Response(text="the reply")

    async with run(handler=handler, max_connections=1) as service:
        asking = asyncio.create_task(service.get(f"{service.api}/echo"))
        await entered.wait()
        reader, writer = await connect(service)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        go_on.set()
        assert await asking == (200, "the reply")
        writer.close()
