"""How both services serve HTTP: two ports, request ids, health, readiness, metrics, and an orderly end on SIGTERM.

The service hands over its application and three functions; this module owns sockets and signals. Errors are shaped by
the service, since the sandbox and OpenAI's envelope differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import signal
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from runtime import logs
from runtime.connections import Connections
from runtime.handshakes import Handshakes
from runtime.malformed import Refuse, RefusingConnection

IDLE_SECONDS: Final = 75.0
MAX_CONNECTIONS: Final = 4096
BACKLOG: Final = 1024
MAX_TLS_CONNECTIONS: Final = 512  # asyncio takes 0.3 MB for each, 0.01 MB for a plain one
MAX_HANDSHAKES: Final = 256
LINGER_SECONDS: Final = 1.0
LINGER_POLL_SECONDS: Final = 0.02
REQUEST_ID_HEADER: Final = "x-request-id"
_REQUEST_ID_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
REQUEST_ID: Final = web.RequestKey("request_id", str)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Operations:
    """What an operator of the service may ask. `readiness` returns None when ready, else why not; `notes` is what it
    does without, for /readyz to say beside that."""

    registry: CollectorRegistry
    readiness: Callable[[], str | None]
    notes: Callable[[], list[str]] = list


@dataclass(frozen=True)
class Listening:
    """Where the service listens, once it does; with port 0 the system chose."""

    api_port: int
    metrics_port: int


@dataclass(frozen=True)
class Server:
    """One running service.

    `drain` is awaited after SIGTERM while the API still answers. With `cancel_on_disconnect` a handler is cancelled
    when its client goes away; otherwise it runs on and notices that itself. A connection may be without a whole head
    of a request for `idle_seconds`, however fast its bytes come. Beyond `max_connections` the oldest without a
    request is closed for each new one; there are at most MAX_TLS_CONNECTIONS with TLS. `tls` is of the API's port; a
    metrics port of its own stays plain, since probes and scrapers have no certificate. `refuse` shapes the reply to
    what is no HTTP request; None leaves it to aiohttp.
    """

    app: web.Application
    operations: Operations
    host: str
    port: int
    metrics_port: int | None = None
    tls: ssl.SSLContext | None = None
    drain: Callable[[], Awaitable[None]] | None = None
    shutdown_timeout: float = 5.0
    cancel_on_disconnect: bool = False
    idle_seconds: float = IDLE_SECONDS
    max_connections: int = MAX_CONNECTIONS
    on_listening: Callable[[Listening], None] | None = None
    refuse: Refuse | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT (or `stopping` is set), drain, close."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stopping.set)
        apps: list[tuple[web.Application, int, ssl.SSLContext | None]] = [(self.app, self.port, self.tls)]
        self.app.on_response_prepare.append(self._close_while_stopping)
        if self.metrics_port is None:
            add_operations(self.app, self.operations)
        else:
            operations_app = web.Application()
            add_operations(operations_app, self.operations)
            apps.append((operations_app, self.metrics_port, None))
        runners: list[web.AppRunner] = []
        listeners: list[asyncio.Server] = []
        handshakes: list[Handshakes] = []
        try:
            for app, port, tls in apps:
                runner = web.AppRunner(
                    app,
                    handle_signals=False,
                    access_log=None,
                    shutdown_timeout=self.shutdown_timeout,
                    handler_cancellation=self.cancel_on_disconnect,
                    keepalive_timeout=self.idle_seconds,
                )
                runners.append(runner)
                connections = Connections(
                    min(self.max_connections, MAX_CONNECTIONS if tls is None else MAX_TLS_CONNECTIONS)
                )
                connections.watch(app)
                await runner.setup()
                assert runner.server is not None  # noqa: S101  # it is set up
                accept = connections.factory(runner.server, self._connect)
                if tls is not None:
                    handshakes.append(Handshakes(tls, accept, MAX_HANDSHAKES))
                    accept = handshakes[-1].protocol
                listeners.append(await loop.create_server(accept, self.host, port, backlog=BACKLOG))
            ports = [int(listener.sockets[0].getsockname()[1]) for listener in listeners]
            listening = Listening(ports[0], ports[-1])
            details = {"port": ports[0], "metrics_port": ports[-1], "tls": self.tls is not None}
            log.info("listening", extra={"host": self.host, **details})
            if self.on_listening is not None:
                self.on_listening(listening)
            await self.stopping.wait()
            log.info("draining")
            if self.drain is not None:
                await self.drain()
            await _let_connections_go(runners[0])
        finally:
            for listener in listeners:
                listener.close()
            for unfinished in handshakes:
                unfinished.close()
            for runner in runners:
                await runner.cleanup()
        log.info("stopped")

    def _connect(self, server: web.Server) -> web.RequestHandler:
        return server() if self.refuse is None else RefusingConnection(server, self.refuse, self.idle_seconds)

    async def _close_while_stopping(self, _: web.Request, response: web.StreamResponse) -> None:
        """A client that keeps its connection would send its next request to a server that is going away."""
        if self.stopping.is_set():
            response.force_close()
            response.headers["Connection"] = "close"


async def _let_connections_go(runner: web.AppRunner) -> None:
    """Until the last kept-alive connection has heard `Connection: close` with a reply, but not for long: idle ones hear
    nothing. A request that meets a connection as it is closed would be lost."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            # aiohttp tells nobody when a connection ends.
            while runner.server is not None and runner.server.connections:  # noqa: ASYNC110
                await asyncio.sleep(LINGER_POLL_SECONDS)


def add_operations(app: web.Application, operations: Operations) -> None:
    """Add GET /healthz (the process lives), /readyz (it can work; 503 says why not), /metrics and /version."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        reason = operations.readiness()
        if reason is None:
            return web.json_response({"status": "ready", "notes": operations.notes()})
        return web.json_response({"status": "not ready", "reason": reason, "notes": operations.notes()}, status=503)

    async def version_(_: web.Request) -> web.Response:
        return web.json_response({"version": version("rlm-operator")})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/version", version_)
    app.router.add_get("/metrics", make_aiohttp_handler(operations.registry))


def operations_paths() -> frozenset[str]:
    """Paths that need no key."""
    return frozenset({"/healthz", "/readyz", "/metrics", "/version"})


@web.middleware
async def request_id_middleware(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Take the caller's x-request-id if it is harmless, else make one. Handlers read `request[REQUEST_ID]`; what is
    logged for the request has it, and the trace's id of a W3C `traceparent`.

    The reply header is set by `set_request_id`, hooked to on_response_prepare, so that streams carry it too.
    """
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request[REQUEST_ID] = given if _REQUEST_ID_ACCEPTED.fullmatch(given) else secrets.token_hex(16)
    in_logs = logs.REQUEST_ID.set(request[REQUEST_ID])
    traced = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    trace_in_logs = logs.TRACE_ID.set(traced["trace_id"] if traced else None)
    try:
        return await handler(request)
    finally:
        logs.REQUEST_ID.reset(in_logs)
        logs.TRACE_ID.reset(trace_in_logs)


async def set_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """An on_response_prepare signal handler."""
    request_id = request.get(REQUEST_ID)
    if request_id is not None:
        response.headers[REQUEST_ID_HEADER] = request_id
