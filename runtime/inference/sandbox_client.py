"""Talks to a sandbox pool over the protocol of `runtime.wire`.

One `SandboxClient` per process (the inference service's application owns it; `runtime.client` makes its own). Replies
are parsed into the protocol's types; refusals and failures become the errors of `errors.py` here and nowhere else.
A busy pool (429, or 503 while it drains) is asked again after its Retry-After, since such a request was not begun;
nothing else is retried.
"""

from __future__ import annotations

import asyncio
import io
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from runtime.inference.errors import (
    AnswerTooLargeError,
    SandboxBusyError,
    SandboxRefusedError,
    SandboxUnavailableError,
    SessionLostError,
)
from runtime.inference.sandbox_tls import explain
from runtime.wire import (
    CellReply,
    ErrorBody,
    ErrorCode,
    ExecuteRequest,
    ResumeRequest,
    SessionInfo,
    SessionReply,
    SessionRequest,
    TouchReply,
    TouchRequest,
    VariableReply,
)

DEFAULT_CELL_TIMEOUT: Final = 30.0
TIMEOUT_MARGIN: Final = 5.0  # the pool queues a cell for at most 4 s
TRANSFER_TIMEOUT: Final = 120.0  # seconds for one variable
CONNECT_TIMEOUT: Final = 5.0
KEEPALIVE: Final = 15.0  # seconds; shorter than any server's, so that no request meets a closing connection
MAX_VARIABLE_BYTES: Final = 64 * 1024 * 1024
_CHUNK: Final = 256 * 1024

_LOST: Final = frozenset({ErrorCode.SESSION_NOT_FOUND, ErrorCode.SESSION_EXPIRED})
_BUSY: Final = frozenset(
    {
        ErrorCode.QUEUE_FULL,
        ErrorCode.QUEUE_TIMEOUT,
        ErrorCode.SESSION_CAP,
        ErrorCode.MEMORY_FULL,
        ErrorCode.DRAINING,
        ErrorCode.NOT_READY,
    }
)

BodyT = TypeVar("BodyT", bound=BaseModel)


class SandboxClient:
    """Make it inside a running event loop; `close` it at the end."""

    def __init__(
        self,
        base_url: str,
        key_file: Path | None = None,
        patience: float = TIMEOUT_MARGIN,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`patience`: seconds to keep asking a pool that is busy. `tls` None: the system's authorities are trusted."""
        self._base_url = base_url.rstrip("/")
        self._key_file = key_file
        self._patience = patience
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE, ssl=True if tls is None else tls),
            timeout=aiohttp.ClientTimeout(total=DEFAULT_CELL_TIMEOUT + TIMEOUT_MARGIN, connect=CONNECT_TIMEOUT),
        )

    async def close(self) -> None:
        await self._http.close()

    async def create_session(self, request: SessionRequest) -> SessionReply:
        return await self._ask(SessionReply, "POST", "/sessions", request)

    async def execute(self, request: ExecuteRequest) -> CellReply:
        """Run a cell. Guest failures are in the reply."""
        return await self._ask(CellReply, "POST", "/execute", request, _http_timeout(request.timeout))

    async def resume(self, session_id: str, request: ResumeRequest) -> CellReply:
        """Answer a suspended call; the rest of the cell runs until it ends or suspends again."""
        return await self._ask(
            CellReply, "POST", f"/sessions/{session_id}/resume", request, _http_timeout(request.timeout)
        )

    async def put_text(self, session_id: str, name: str, text: str) -> VariableReply:
        """Set a variable to a str. Lone surrogates, which have no UTF-8 form, become question marks."""
        encoded = await asyncio.to_thread(text.encode, "utf-8", "replace")
        return await self._put(session_id, name, encoded, "text/plain; charset=utf-8")

    async def put_json(self, session_id: str, name: str, encoded: bytes) -> VariableReply:
        """Set a variable to the value of a JSON text."""
        return await self._put(session_id, name, encoded, "application/json")

    async def _put(self, session_id: str, name: str, body: bytes, content_type: str) -> VariableReply:
        async def put() -> VariableReply:
            async with self._request(
                "PUT",
                f"/sessions/{session_id}/variables/{name}",
                data=io.BytesIO(body),
                headers={"Content-Type": content_type},
                within=TRANSFER_TIMEOUT,
            ) as response:
                return _parse(VariableReply, await response.read())

        return await self._admitted(put)

    async def get_text(self, session_id: str, name: str, limit: int = MAX_VARIABLE_BYTES) -> str:
        """A variable's text: a str as it is, any other value as JSON. Raises AnswerTooLargeError beyond `limit` bytes,
        SandboxRefusedError when there is no such variable or it has no JSON form."""
        async with self._request(
            "GET", f"/sessions/{session_id}/variables/{name}", within=TRANSFER_TIMEOUT
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > limit:
                    raise AnswerTooLargeError(f"the variable {name} is larger than {limit:,} bytes")
        return bytes(body).decode("utf-8", "replace")

    async def delete(self, session_id: str) -> None:
        """End a session; no matter whether it is still there."""
        async with self._request("DELETE", f"/sessions/{session_id}"):
            pass

    async def describe(self, session_id: str) -> SessionInfo:
        """What a session is doing. Raises SessionLostError when it is not there."""
        async with self._request("GET", f"/sessions/{session_id}") as response:
            return _parse(SessionInfo, await response.read())

    async def touch(self, ids: Iterable[str]) -> TouchReply:
        """Renew suspended sessions, so that they wait on."""
        return await self._ask(TouchReply, "POST", "/sessions/touch", TouchRequest(ids=list(ids)))

    async def _ask(
        self,
        reply: type[BodyT],
        method: str,
        path: str,
        body: BaseModel,
        within: float = DEFAULT_CELL_TIMEOUT + TIMEOUT_MARGIN,
    ) -> BodyT:
        encoded = body.model_dump_json(exclude_none=True).encode()
        headers = {"Content-Type": "application/json"}

        async def ask() -> BodyT:
            async with self._request(method, path, io.BytesIO(encoded), headers, within) as response:
                return _parse(reply, await response.read())

        return await self._admitted(ask)

    async def _admitted(self, attempt: Callable[[], Awaitable[BodyT]]) -> BodyT:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return await attempt()
            except SandboxBusyError as busy:
                if time.monotonic() + busy.wait > deadline:
                    raise
                await asyncio.sleep(busy.wait)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        data: io.BytesIO | None = None,
        headers: dict[str, str] | None = None,
        within: float = DEFAULT_CELL_TIMEOUT + TIMEOUT_MARGIN,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The one seam where aiohttp's errors and HTTP refusals become ours."""
        try:
            async with self._http.request(
                method,
                self._base_url + path,
                data=data,
                headers={**(headers or {}), **await self._authorization()},
                timeout=aiohttp.ClientTimeout(total=within, connect=CONNECT_TIMEOUT),
                allow_redirects=False,
            ) as response:
                if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    raise _build_refusal(response.status, response.headers.get("Retry-After"), await response.read())
                yield response
        except TimeoutError as error:
            raise SandboxUnavailableError(
                f"the sandbox at {self._base_url} did not answer {method} {path} within {within:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            advice = explain(self._base_url, error) or "check WASM_SERVICE_URL and that its pods are ready"
            raise SandboxUnavailableError(
                f"the sandbox at {self._base_url} could not be reached ({type(error).__name__}); {advice}"
            ) from error

    async def _authorization(self) -> dict[str, str]:
        """Read at every request, so that a rotated key is used at once."""
        if self._key_file is None:
            return {}
        try:
            key = await asyncio.to_thread(self._key_file.read_text, encoding="utf-8")
        except OSError as error:
            raise SandboxUnavailableError(
                f"the sandbox's key file {self._key_file} cannot be read ({error.strerror}); check WASM_API_KEY_FILE"
            ) from error
        return {"Authorization": f"Bearer {key.strip()}"}


def _http_timeout(cell_timeout: float | None) -> float:
    return (DEFAULT_CELL_TIMEOUT if cell_timeout is None else cell_timeout) + TIMEOUT_MARGIN


def _parse(model: type[BodyT], body: bytes) -> BodyT:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise SandboxUnavailableError(
            f"the sandbox sent a {model.__name__} that is not one: {error.error_count()} fields are wrong"
        ) from error


def _build_refusal(status: int, retry_after: str | None, body: bytes) -> SandboxUnavailableError:
    try:
        detail = ErrorBody.model_validate_json(body).error
    except ValidationError:
        return SandboxUnavailableError(f"the sandbox answered HTTP {status} without the protocol's error body")
    if detail.code in _BUSY:
        return SandboxBusyError(f"the sandbox is busy: {detail.message}", _seconds(retry_after))
    if detail.code in _LOST:
        return SessionLostError(f"the sandbox lost the session: {detail.message}")
    return SandboxRefusedError(f"the sandbox refused ({detail.code}): {detail.message}", detail.code, detail.details)


def _seconds(retry_after: str | None) -> float:
    try:
        seconds = float(retry_after or 1)
    except ValueError:
        return 1.0
    return min(max(seconds, 0.1), 30.0) if math.isfinite(seconds) else 1.0
