"""HTTP to one server of a sandbox pool: the one seam where refusals and failures become the errors of `errors.py`.

`SandboxClient` owns one and says which server is asked. Nothing is retried here.
"""

from __future__ import annotations

import asyncio
import io
import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from runtime.inference.errors import (
    SandboxBusyError,
    SandboxRefusedError,
    SandboxUnavailableError,
    SandboxUnreachableError,
    SessionLostError,
)
from runtime.inference.sandbox_servers import Server
from runtime.inference.sandbox_tls import explain
from runtime.wire import ErrorBody, ErrorCode

CONNECT_TIMEOUT: Final = 5.0
KEEPALIVE: Final = 15.0  # seconds; shorter than any server's, so that no request meets a closing connection

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


class SandboxHttp:
    """Make it inside a running event loop; `close` it at the end."""

    def __init__(
        self, key_file: Path | None, tls: ssl.SSLContext | None, headers: Callable[[], dict[str, str]] = dict
    ) -> None:
        """`headers`: what every request says besides, of whoever asks."""
        self._key_file = key_file
        self._headers = headers
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE, ssl=True if tls is None else tls)
        )

    async def close(self) -> None:
        await self._http.close()

    @asynccontextmanager
    async def request(
        self,
        server: Server,
        method: str,
        path: str,
        within: float,
        data: io.BytesIO | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """`within`: seconds for the whole exchange. A server that was found by a name is still asked by that name."""
        url, name = server.url, None if server.found_by is None else URL(server.found_by)
        host = {} if name is None else {"Host": name.authority}
        try:
            async with self._http.request(
                method,
                url + path,
                data=data,
                headers={**host, **self._headers(), **(headers or {}), **await self._authorization()},
                timeout=aiohttp.ClientTimeout(total=within, connect=CONNECT_TIMEOUT),
                allow_redirects=False,
                server_hostname=None if name is None else name.host,
            ) as response:
                if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    raise _build_refusal(response.status, response.headers.get("Retry-After"), await response.read())
                yield response
        except aiohttp.ConnectionTimeoutError as error:
            raise SandboxUnreachableError(_unreachable(url, error)) from error
        except TimeoutError as error:
            raise SandboxUnreachableError(
                f"the sandbox at {url} did not answer {method} {path} within {within:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise SandboxUnreachableError(_unreachable(url, error)) from error

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


def _unreachable(url: str, error: Exception) -> str:
    advice = explain(url, error) or "check WASM_SERVICE_URL and that its pods are ready"
    return f"the sandbox at {url} could not be reached ({type(error).__name__}); {advice}"


def parse_body(model: type[BodyT], body: bytes) -> BodyT:
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
