"""Makes the HTTP request of a tool call. Every failure is an entry of a closed list: what a host says in an error, and
what it redirects to, is not passed on.

One `ToolClient` per process, owned by the toolbox. No redirects are followed, no cookies kept, no proxy of the
environment used; each connection is made to addresses that were checked (`addresses.py`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from pydantic_core import from_json, to_json
from yarl import URL

from runtime.inference.tools.addresses import AddressRefusedError, CheckedResolver
from runtime.inference.tools.declaration import HttpTool
from runtime.inference.tools.request import ToolRequest
from runtime.redaction import REDACTED

MAX_CONNECTIONS: Final = 100
_CHUNK: Final = 64 * 1024
_SHORTEST_SECRET: Final = 6  # characters that are looked for in replies


@dataclass(frozen=True)
class ToolReply:
    """`encoded` is the JSON of what the code gets; `error` is the entry of the closed list that it begins with."""

    encoded: bytes
    status: int | None = None  # of the HTTP reply
    error: str | None = None


class ToolFailedError(Exception):
    """The message is from the closed list of this module."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message, self.status = message, status


def build_failure(message: str, status: int | None = None) -> ToolReply:
    return ToolReply(to_json(f"Error: {message}"), status, message)


class ToolClient:
    """Make it inside a running event loop; `close` it at the end."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        """`resolver` None: the system's."""
        known = resolver or aiohttp.ThreadedResolver()
        self._public, self._private = (_open_session(known, allow_private=allowed) for allowed in (False, True))

    async def close(self) -> None:
        await self._public.close()
        await self._private.close()

    async def call(self, tool: HttpTool, request: ToolRequest) -> ToolReply:
        """Never raises for what the tool's host does."""
        try:
            secrets = await asyncio.to_thread(_read_secrets, tool)
            return await self._send(tool, request, secrets)
        except ToolFailedError as error:
            return build_failure(error.message, error.status)

    async def _send(self, tool: HttpTool, request: ToolRequest, secrets: dict[str, str]) -> ToolReply:
        session = self._private if tool.allow_private_addresses else self._public
        headers = {"Accept": "application/json, text/*;q=0.9", **tool.headers, "Accept-Encoding": "identity"}
        headers |= {name: tool.secret_headers[name].prefix + secret for name, secret in secrets.items()}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=tool.timeout),
                allow_redirects=False,
            ) as response:
                _require_success(response)
                body = await _read(response, tool.max_response_bytes)
                encoded = await asyncio.to_thread(_decode, response.content_type, body, secrets)
                return ToolReply(encoded, response.status)
        except TimeoutError as error:
            raise ToolFailedError(f"the tool did not answer within {tool.timeout:g} s") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefusedError):
                raise ToolFailedError("the tool's host has an address that may not be called") from error
            raise ToolFailedError("the tool could not be reached") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ToolFailedError("the tool's reply could not be read") from error


def _open_session(resolver: AbstractResolver, *, allow_private: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(resolver, allow_private=allow_private),
        use_dns_cache=False,  # every connection is checked
        limit=MAX_CONNECTIONS,
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    )


def _read_secrets(tool: HttpTool) -> dict[str, str]:
    return {name: _read_secret(header.file) for name, header in tool.secret_headers.items()}


def _read_secret(file: Path) -> str:
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ToolFailedError("the tool is not set up: a file of its secretHeaders cannot be read") from error
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ToolFailedError("the tool is not set up: a file of its secretHeaders holds no header's value")
    return secret


def _require_success(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if 300 <= status < 400:
        raise ToolFailedError(f"the tool answered with a redirect, which is not followed (HTTP {status})", status)
    if status >= 500:
        raise ToolFailedError(f"the tool failed (HTTP {status})", status)
    if status >= 400:
        raise ToolFailedError(f"the tool refused the request (HTTP {status})", status)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ToolFailedError("the tool's reply could not be read", status)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise ToolFailedError(f"the tool's reply is larger than {limit:,} bytes", response.status)
    return bytes(body)


def _decode(content_type: str, body: bytes, secrets: dict[str, str]) -> bytes:
    """A JSON reply as it is, any other as a JSON string. What the tool says of its own key is taken out."""
    text = body.decode("utf-8", "replace")
    for secret in secrets.values():
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, REDACTED)
    if content_type == "application/json" or content_type.endswith("+json"):
        return to_json(from_json(text, allow_inf_nan=False))
    return to_json(text)
