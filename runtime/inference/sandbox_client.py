"""Talks to a sandbox pool over the protocol of `runtime.wire`.

One `SandboxClient` per process (the inference service's application owns it; `runtime.client` makes its own). Replies
are parsed into the protocol's types; refusals and failures are the errors of `errors.py`.

A request that was not begun (429, or 503 while a server stops) is asked again after its Retry-After. What is new (a
session, a one-shot cell) goes to another server at once if there is one, also when the server that was asked went away.
Requests to a session are never sent twice: its server alone has it.
"""

from __future__ import annotations

import asyncio
import io
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import aiohttp
from pydantic import BaseModel

from runtime.inference.breaker import BreakerState
from runtime.inference.discovery import INTERVAL, Discovery, Resolve, resolve_host
from runtime.inference.errors import (
    AnswerTooLargeError,
    SandboxBusyError,
    SandboxRefusedError,
    SandboxUnavailableError,
    SandboxUnreachableError,
    SessionLostError,
)
from runtime.inference.sandbox_http import SandboxHttp, parse_body
from runtime.inference.sandbox_servers import Server, Servers
from runtime.wire import (
    LOAD_HEADER,
    CellReply,
    ExecuteRequest,
    ForkReply,
    ForkRequest,
    ResumeRequest,
    SessionInfo,
    SessionReply,
    SessionRequest,
    Status,
    TouchReply,
    TouchRequest,
    VariableReply,
)

DEFAULT_CELL_TIMEOUT: Final = 30.0
TIMEOUT_MARGIN: Final = 5.0  # the pool queues a cell for at most 4 s
TRANSFER_TIMEOUT: Final = 120.0  # seconds for one variable
MAX_VARIABLE_BYTES: Final = 64 * 1024 * 1024
_CHUNK: Final = 256 * 1024

BodyT = TypeVar("BodyT", bound=BaseModel)
ReplyT = TypeVar("ReplyT")


@dataclass(frozen=True)
class _Asked(Generic[BodyT]):
    """A JSON request and the type of its reply; `within` seconds."""

    reply: type[BodyT]
    path: str
    body: BaseModel
    within: float = DEFAULT_CELL_TIMEOUT + TIMEOUT_MARGIN


class SandboxClient:
    """Make it inside a running event loop; `close` it at the end."""

    def __init__(
        self,
        urls: str,
        key_file: Path | None = None,
        patience: float = TIMEOUT_MARGIN,
        tls: ssl.SSLContext | None = None,
        headers: Callable[[], dict[str, str]] = dict,
        resolve: Resolve = resolve_host,
        interval: float = INTERVAL,
    ) -> None:
        """`urls`: the base address of the pool's service, or of each of its servers, separated by commas. `patience`:
        seconds to keep asking a pool that is busy. `tls` None: the system's authorities are trusted. `headers`: what
        each request says besides, asked for in the context of who makes it. `interval`: in seconds, after which names
        are resolved again."""
        self._servers = Servers(urls)
        self.on_full: Callable[[], None] = _nothing
        """Called when a session has no place on any server, before it is asked for again."""
        self._patience = patience
        self._http = SandboxHttp(key_file, tls, headers)
        self._discovery = Discovery("sandbox", self._servers, resolve, interval)

    async def close(self) -> None:
        await self._discovery.close()
        await self._http.close()

    def holder_of(self, session_id: str) -> str | None:
        """The address of the server that has the session, as far as this client knows."""
        holder = self._servers.holding(session_id)
        return None if holder is None else holder.url

    def count_servers(self, state: BreakerState) -> int:
        return self._servers.count(state)

    async def create_session(self, request: SessionRequest) -> SessionReply:
        reply, server = await self._place(_Asked(SessionReply, "/sessions", request))
        self._servers.hold(reply.session_id, server)
        return reply

    async def execute(self, request: ExecuteRequest) -> CellReply:
        """Run a cell. Guest failures are in the reply. A one-shot cell whose server goes away runs again on another
        one: nothing leaves a sandbox but its reply, so nobody can tell."""
        asked = _Asked(CellReply, "/execute", request, _http_timeout(request.timeout))
        session_id = request.session_id
        if session_id is not None and (self._servers.holding(session_id) is not None or not request.create):
            return await self._ask(session_id, asked)
        reply, server = await self._place(asked)
        if session_id is not None or reply.status is Status.SUSPENDED:
            self._servers.hold(reply.session_id, server, one_shot=session_id is None)
        return reply

    async def resume(self, session_id: str, request: ResumeRequest) -> CellReply:
        """Answer a suspended call; the rest of the cell runs until it ends or suspends again."""
        path = f"/sessions/{session_id}/resume"
        reply = await self._ask(session_id, _Asked(CellReply, path, request, _http_timeout(request.timeout)))
        if reply.status is not Status.SUSPENDED:
            self._servers.forget_one_shot(session_id)
        return reply

    async def interrupt(self, session_id: str) -> CellReply:
        """End the cell that runs or is suspended; the state before it comes back. SandboxRefusedError without one."""
        async with self._of(session_id, "POST", "/interrupt", _http_timeout(None)) as response:
            return parse_body(CellReply, await response.read())

    async def fork(self, session_id: str, request: ForkRequest, *, patient: bool = True) -> ForkReply:
        """Branch an idle or suspended session; the branch is on the same server. Not `patient`: SandboxBusyError at
        once when that has no room."""
        server = self._holder(session_id)
        asked = _Asked(ForkReply, f"/sessions/{session_id}/fork", request)
        reply = await self._ask(session_id, asked, self._patience if patient else 0)
        self._servers.hold(reply.session_id, server)
        return reply

    async def put_text(self, session_id: str, name: str, text: str) -> VariableReply:
        """Set a variable to a str. Lone surrogates, which have no UTF-8 form, become question marks."""
        encoded = await asyncio.to_thread(text.encode, "utf-8", "replace")
        return await self._put(session_id, name, encoded, "text/plain; charset=utf-8")

    async def put_json(self, session_id: str, name: str, encoded: bytes) -> VariableReply:
        """Set a variable to the value of a JSON text."""
        return await self._put(session_id, name, encoded, "application/json")

    async def _put(self, session_id: str, name: str, body: bytes, content_type: str) -> VariableReply:
        headers = {"Content-Type": content_type}

        async def put() -> VariableReply:
            path = f"/variables/{name}"
            async with self._of(session_id, "PUT", path, TRANSFER_TIMEOUT, io.BytesIO(body), headers) as response:
                return parse_body(VariableReply, await response.read())

        return await self._admitted(put)

    async def get_text(self, session_id: str, name: str, limit: int = MAX_VARIABLE_BYTES) -> str:
        """A variable's text: a str as it is, any other value as JSON. Raises AnswerTooLargeError beyond `limit` bytes,
        SandboxRefusedError when there is no such variable or it has no JSON form."""
        async with self._of(session_id, "GET", f"/variables/{name}", TRANSFER_TIMEOUT) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > limit:
                    raise AnswerTooLargeError(f"the variable {name} is larger than {limit:,} bytes")
        return bytes(body).decode("utf-8", "replace")

    async def delete(self, session_id: str) -> None:
        """End a session; no matter whether it is still there."""
        holder = self._servers.holding(session_id)
        self._servers.forget(session_id)
        if holder is not None:
            async with self._request(holder, "DELETE", f"/sessions/{session_id}", _http_timeout(None)):
                pass

    async def describe(self, session_id: str) -> SessionInfo:
        """What a session is doing. Raises SessionLostError when it is not there."""
        async with self._of(session_id, "GET", "", _http_timeout(None)) as response:
            return parse_body(SessionInfo, await response.read())

    async def touch(self, ids: Iterable[str]) -> TouchReply:
        """Renew suspended sessions, so that they wait on. Every server is asked, so that its load is known, and a half
        open breaker closes; one that is away is left out as long as another answers."""
        await self._discovery.refresh()
        every = self._servers.all
        asked = [server for server in every if server.may_be_tried] or every
        shares: dict[Server, list[str]] = {server: [] for server in asked}
        unknown: list[str] = []
        for session_id in ids:
            holder = self._servers.holding(session_id)
            (unknown if holder is None else shares.setdefault(holder, [])).append(session_id)
        replies = await asyncio.gather(*(self._touch(*share) for share in shares.items()), return_exceptions=True)
        answered = [reply for reply in replies if isinstance(reply, TouchReply)]
        for reply, share in zip(replies, shares.values(), strict=True):
            if isinstance(reply, BaseException):
                if not answered or not isinstance(reply, SandboxUnavailableError):
                    raise reply
                unknown += share
        return TouchReply(
            renewed=[session_id for reply in answered for session_id in reply.renewed],
            unknown=unknown + [session_id for reply in answered for session_id in reply.unknown],
        )

    async def _touch(self, server: Server, ids: list[str]) -> TouchReply:
        asked = _Asked(TouchReply, "/sessions/touch", TouchRequest(ids=ids))
        return await self._admitted(lambda: self._send(server, asked))

    async def _place(self, asked: _Asked[BodyT]) -> tuple[BodyT, Server]:
        """Ask for something new of one server after another, the least loaded first. SandboxBusyError when all were
        busy for as long as the client has patience, SandboxUnreachableError when none is there."""

        async def place() -> tuple[BodyT, Server]:
            await self._discovery.refresh()
            tried: dict[Server, SandboxUnavailableError] = {}
            while (server := await self._next_server(tried)) is not None:
                try:
                    return await self._send(server, asked), server
                except SandboxBusyError as error:
                    server.avoid()
                    tried[server] = error
                except SandboxUnreachableError as error:
                    tried[server] = error
            busy = [error for error in tried.values() if isinstance(error, SandboxBusyError)]
            if busy:
                self.on_full()
            raise min(busy, key=lambda error: error.wait) if busy else next(iter(tried.values()))

        return await self._admitted(place)

    async def _next_server(self, tried: dict[Server, SandboxUnavailableError]) -> Server | None:
        """When none is left that was not tried, and one is gone, the names may stand for others by now."""
        server = self._servers.choose(tried)
        if server is None and any(isinstance(error, SandboxUnreachableError) for error in tried.values()):
            await self._discovery.refresh(impatient=True)
            server = self._servers.choose(tried)
        return server

    async def _ask(self, session_id: str, asked: _Asked[BodyT], patience: float | None = None) -> BodyT:
        """Of the server that has the session."""
        with self._lost_is_forgotten(session_id):
            return await self._admitted(lambda: self._send(self._holder(session_id), asked), patience)

    async def _admitted(self, attempt: Callable[[], Awaitable[ReplyT]], patience: float | None = None) -> ReplyT:
        """`patience` None: the client's."""
        deadline = time.monotonic() + (self._patience if patience is None else patience)
        while True:
            try:
                return await attempt()
            except SandboxBusyError as busy:
                if time.monotonic() + busy.wait > deadline:
                    raise
                await asyncio.sleep(busy.wait)

    async def _send(self, server: Server, asked: _Asked[BodyT]) -> BodyT:
        headers = {"Content-Type": "application/json"}
        data = io.BytesIO(asked.body.model_dump_json(exclude_none=True).encode())
        async with self._request(server, "POST", asked.path, asked.within, data, headers) as response:
            return parse_body(asked.reply, await response.read())

    @asynccontextmanager
    async def _of(
        self,
        session_id: str,
        method: str,
        path: str,
        within: float,
        data: io.BytesIO | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """`path` below the session's."""
        path = f"/sessions/{session_id}{path}"
        with self._lost_is_forgotten(session_id):
            async with self._request(self._holder(session_id), method, path, within, data, headers) as response:
                yield response

    @asynccontextmanager
    async def _request(
        self,
        server: Server,
        method: str,
        path: str,
        within: float,
        data: io.BytesIO | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        with server.asked():
            try:
                async with self._http.request(server, method, path, within, data, headers) as response:
                    server.breaker.answered()
                    server.note_load(response.headers.get(LOAD_HEADER))
                    yield response
            except SandboxUnreachableError:
                server.breaker.failed()
                raise
            except (SandboxBusyError, SandboxRefusedError, SessionLostError):
                server.breaker.answered()
                raise

    def _holder(self, session_id: str) -> Server:
        holder = self._servers.holding(session_id)
        if holder is None:
            raise SessionLostError("no server of the pool is known to have this session; make it anew")
        return holder

    @contextmanager
    def _lost_is_forgotten(self, session_id: str) -> Iterator[None]:
        try:
            yield
        except SessionLostError:
            self._servers.forget(session_id)
            raise


def _nothing() -> None:
    """The default of `on_full`."""


def _http_timeout(cell_timeout: float | None) -> float:
    return (DEFAULT_CELL_TIMEOUT if cell_timeout is None else cell_timeout) + TIMEOUT_MARGIN
