"""A reverse proxy before the API server that answers wrongly, or not at all, where a test says so.

An operator's integration test gives its URL to the operator instead of the API server's own; everybody else goes past
it. It speaks plain HTTP on loopback and passes on what it is asked, bearer tokens included.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

_HOP_BY_HOP: Final = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}
_LOOK_SECONDS: Final = 0.02
_CLOSING_SECONDS: Final = 0.3
START_SECONDS: Final = 10.0


@dataclass
class Fault:
    """Requests whose `METHOD /path?query` contains a match of `pattern` are answered with `status`, `times` times.

    `answered`: which they were; `came`: when each did, on the monotonic clock.
    """

    pattern: re.Pattern[str]
    status: int
    times: int
    headers: Mapping[str, str]
    body: bytes | None
    answered: list[str] = field(default_factory=list)
    came: list[float] = field(default_factory=list)

    def takes(self, request: str) -> bool:
        return len(self.answered) < self.times and self.pattern.search(request) is not None


class FaultProxy:
    """A context manager: it listens between enter and exit, in a thread of its own."""

    def __init__(self, upstream: str, authority: Path) -> None:
        self._upstream = upstream
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._seen: list[tuple[str, float]] = []
        self._faults: list[Fault] = []
        self._stalled: list[re.Pattern[str]] = []
        self._cut = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fault proxy")
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def fail(
        self,
        pattern: str,
        status: int,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Fault:
        """The next `times` matching requests get `status` with `body`, or else with a Status of Kubernetes."""
        fault = Fault(re.compile(pattern), status, times, headers or {}, body)
        self._faults.append(fault)
        return fault

    def gaps(self, fault: Fault) -> list[float]:
        """Seconds from each request that `fault` answered to the next one that is just the same."""
        following = [
            (when, [later for asked, later in self._seen if asked == answered and later > when])
            for answered, when in zip(fault.answered, fault.came, strict=True)
        ]
        return [min(later) - when for when, later in following if later]

    def has_seen(self, pattern: str) -> bool:
        """Whether a request came that matches, answered or not."""
        return any(re.search(pattern, asked) for asked, _ in self._seen)

    @contextmanager
    def stalled(self, pattern: str = "") -> Iterator[None]:
        """Inside the block matching requests stay without an answer, and open ones without further bytes."""
        stalled = re.compile(pattern)
        self._stalled.append(stalled)
        try:
            yield
        finally:
            self._stalled.remove(stalled)

    def cut(self) -> None:
        """Ends every answer that is under way, as a load balancer that restarts does."""

        def end() -> None:
            self._cut.set()
            self._cut = asyncio.Event()

        self._loop.call_soon_threadsafe(end)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._handle(request, session)

            app = web.Application(client_max_size=64 * 1024 * 1024)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            self._listening.set()
            await self._ended.wait()
            self._cut.set()
            await runner.cleanup()
        # The TLS connections that were just closed need a moment of their event loop.
        await asyncio.sleep(_CLOSING_SECONDS)

    async def _handle(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        asked = f"{request.method} {request.rel_url}"
        now = time.monotonic()
        self._seen.append((asked, now))
        await self._wait_while_stalled(asked)
        for fault in self._faults:
            if fault.takes(asked):
                fault.answered.append(asked)
                fault.came.append(now)
                body = json.dumps(_status(fault.status)).encode() if fault.body is None else fault.body
                return web.Response(
                    body=body, status=fault.status, headers=fault.headers, content_type="application/json"
                )
        try:
            return await self._pass_on(request, session, asked)
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=str(error))

    async def _pass_on(self, request: web.Request, session: aiohttp.ClientSession, asked: str) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = f"{self._upstream}{request.rel_url}"
        cut, body = self._cut, await request.read() or None
        async with session.request(request.method, url, headers=headers, data=body) as upstream:
            kept = {name: value for name, value in upstream.headers.items() if name.lower() not in _HOP_BY_HOP}
            if "Content-Encoding" in upstream.headers:
                kept["Content-Encoding"] = upstream.headers["Content-Encoding"]
            reply = web.StreamResponse(status=upstream.status, headers=kept)
            await reply.prepare(request)
            whole = False
            with suppress(ConnectionResetError, aiohttp.ClientError):
                whole = await self._relay(upstream, reply, cut, asked)
            if not whole and request.transport is not None:
                request.transport.abort()  # or the client would take half an answer for all of it
            return reply

    async def _relay(
        self, upstream: aiohttp.ClientResponse, reply: web.StreamResponse, cut: asyncio.Event, asked: str
    ) -> bool:
        """Returns whether the answer was passed on to its end."""
        ended = asyncio.ensure_future(cut.wait())
        try:
            while not cut.is_set():
                chunk = asyncio.ensure_future(upstream.content.readany())
                await asyncio.wait([chunk, ended], return_when=asyncio.FIRST_COMPLETED)
                if not chunk.done():
                    chunk.cancel()
                    return False
                if not chunk.result():
                    return True
                await self._wait_while_stalled(asked)
                await reply.write(chunk.result())
            return False
        finally:
            ended.cancel()

    async def _wait_while_stalled(self, asked: str) -> None:
        while any(pattern.search(asked) for pattern in self._stalled) and not self._ended.is_set():  # noqa: ASYNC110 - another thread ends it
            await asyncio.sleep(_LOOK_SECONDS)


def _status(code: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": "Injected",
        "message": f"a fault of the test: {code}",
    }
