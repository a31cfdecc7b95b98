"""A client that says exactly what a test wants, over aiohttp and the types of runtime.wire."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from runtime.wire import (
    CellReply,
    ErrorCode,
    ErrorDetail,
    ForkReply,
    SessionInfo,
    SessionReply,
    TouchReply,
    VariableReply,
)
from tests.runtime.sandbox.samples import parse_metrics
from tests.runtime.sandbox.server import KEYS, SandboxServer

REQUEST_DEADLINE: Final = 120.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def error(self) -> ErrorDetail:
        """The error of the one envelope; AssertionError if this is a success."""
        assert self.status >= 400, self.body[:500]
        return ErrorDetail.model_validate_json(self.body[len(b'{"error":') : -1])


class SandboxClient:
    """Methods return what was said; the `refused` ones assert the status and give the error."""

    def __init__(self, http: aiohttp.ClientSession, server: SandboxServer) -> None:
        self.http = http
        self.server = server
        self._made: set[str] = set()

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        if "json" in options:
            options["data"] = json.dumps(options.pop("json")).encode()
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        if isinstance(options.get("data"), bytes):
            options["data"] = io.BytesIO(options["data"])  # aiohttp warns of large bytes
        async with self.http.request(method, self.server.url + path, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def close(self) -> None:
        """Delete what was made here, so that tests do not burden each other."""
        with contextlib.suppress(aiohttp.ClientError):
            for session_id in self._made:
                await self.request("DELETE", f"/sessions/{session_id}")

    async def refused(self, status: int, code: ErrorCode, method: str, path: str, **options: Any) -> ErrorDetail:
        reply = await self.request(method, path, **options)
        error = reply.error()
        assert (reply.status, error.code) == (status, code), reply.body[:500]
        assert reply.headers["Content-Type"].startswith("application/json")
        assert ("Retry-After" in reply.headers) == (status in (429, 503))
        return error

    async def execute(self, code: str, session_id: str | None = None, **fields: Any) -> CellReply:
        body = {"code": code, **({} if session_id is None else {"session_id": session_id}), **fields}
        reply = await self.request("POST", "/execute", json=body)
        assert reply.status == 200, reply.body[:500]
        made = CellReply.model_validate_json(reply.body)
        self._made.add(made.session_id)
        return made

    async def execute_all(self, cells: list[str], session_id: str | None = None, **fields: Any) -> list[CellReply]:
        """The replies of the cells that ran; the top level must repeat the last."""
        body = {"cells": cells, **({} if session_id is None else {"session_id": session_id}), **fields}
        return self._results(await self.request("POST", "/execute", json=body))

    async def resume_all(self, session_id: str, call_id: str, **fields: Any) -> list[CellReply]:
        body = {"call_id": call_id, **fields}
        return self._results(await self.request("POST", f"/sessions/{session_id}/resume", json=body))

    def _results(self, reply: Reply) -> list[CellReply]:
        assert reply.status == 200, reply.body[:500]
        top = CellReply.model_validate_json(reply.body)
        self._made.add(top.session_id)
        assert top.results
        assert top.model_copy(update={"results": None, "created": False}) == top.results[-1]
        return top.results

    async def create(self, **fields: Any) -> SessionReply:
        reply = await self.request("POST", "/sessions", json=fields)
        assert reply.status == 201, reply.body[:500]
        made = SessionReply.model_validate_json(reply.body)
        self._made.add(made.session_id)
        return made

    async def describe(self, session_id: str) -> SessionInfo:
        reply = await self.request("GET", f"/sessions/{session_id}")
        assert reply.status == 200, reply.body[:500]
        return SessionInfo.model_validate_json(reply.body)

    async def delete(self, session_id: str) -> None:
        reply = await self.request("DELETE", f"/sessions/{session_id}")
        assert (reply.status, reply.body) == (204, b"")

    async def resume(self, session_id: str, call_id: str, **fields: Any) -> CellReply:
        body = {"call_id": call_id, **fields}
        reply = await self.request("POST", f"/sessions/{session_id}/resume", json=body)
        assert reply.status == 200, reply.body[:500]
        return CellReply.model_validate_json(reply.body)

    async def interrupt(self, session_id: str) -> CellReply:
        reply = await self.request("POST", f"/sessions/{session_id}/interrupt")
        assert reply.status == 200, reply.body[:500]
        return CellReply.model_validate_json(reply.body)

    async def fork(self, source: str, **fields: Any) -> ForkReply:
        reply = await self.request("POST", f"/sessions/{source}/fork", json=fields)
        assert reply.status == 201, reply.body[:500]
        made = ForkReply.model_validate_json(reply.body)
        self._made.add(made.session_id)
        return made

    async def touch(self, *ids: str) -> TouchReply:
        reply = await self.request("POST", "/sessions/touch", json={"ids": ids})
        assert reply.status == 200, reply.body[:500]
        return TouchReply.model_validate_json(reply.body)

    async def put(self, session_id: str, name: str, data: bytes, content_type: str = "text/plain") -> VariableReply:
        reply = await self.put_raw(session_id, name, data, content_type)
        assert reply.status == 200, reply.body[:500]
        return VariableReply.model_validate_json(reply.body)

    async def put_raw(self, session_id: str, name: str, data: bytes, content_type: str = "text/plain") -> Reply:
        path = f"/sessions/{session_id}/variables/{quote(name, safe='')}"
        return await self.request("PUT", path, data=data, headers={"Content-Type": content_type})

    async def get(self, session_id: str, name: str) -> Reply:
        return await self.request("GET", f"/sessions/{session_id}/variables/{name}")

    async def metrics(self) -> dict[tuple[str, str], float]:
        async with self.http.get(f"{self.server.metrics_url}/metrics") as response:
            return parse_metrics(await response.text())


@asynccontextmanager
async def connect(
    server: SandboxServer, key: str | None = KEYS["alice"], tls: ssl.SSLContext | None = None
) -> AsyncIterator[SandboxClient]:
    """`key` None sends no Authorization header."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    timeout = aiohttp.ClientTimeout(total=REQUEST_DEADLINE)
    connector = aiohttp.TCPConnector(ssl=True if tls is None else tls)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as http:
        client = SandboxClient(http, server)
        yield client
        await client.close()


def new_id(what: str = "session") -> str:
    return f"{what}-{secrets.token_hex(6)}"
