"""The SDK's HTTP client over aiohttp, with small requests that are sent at once.

Used by `model_endpoint.py`. Before Python 3.12 aiohttp writes a body in a task of its own, in the event loop's next
round. Calls that end in the same round were then all followed in one later round, after the work for each of them, and
stayed together to the end of a batch.
"""

from __future__ import annotations

import ssl
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

import aiohttp
import httpx2
import openai
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

AT_ONCE: Final = 32 * 1024
"""Bytes of a body that a connection takes without waiting, together with its headers: half of what asyncio holds back
before it says that writing has to pause."""


class EagerRequest(aiohttp.ClientRequest):
    def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> Coroutine[Any, Any, None]:
        """What is left to be done in a task: nothing, if the body is small and nobody waits to write."""
        writing = super().write_bytes(writer, conn, content_length)
        is_free = conn.protocol is not None and not conn.protocol.writing_paused
        if not is_free or content_length is None or content_length > AT_ONCE:
            return writing
        try:
            writing.send(None)
        except StopIteration:
            return _nothing()
        writing.close()  # closes the connection too
        raise aiohttp.ClientConnectionError("a small request could not be written at once")


class EagerHttpClient(openai.DefaultAioHttpClient):
    def _init_transport(self, *arguments: Any, **settings: Any) -> httpx2.AsyncBaseTransport:
        return _with_eager_requests(super()._init_transport(*arguments, **settings))

    def _init_proxy_transport(self, *arguments: Any, **settings: Any) -> httpx2.AsyncBaseTransport:
        return _with_eager_requests(super()._init_proxy_transport(*arguments, **settings))


async def _nothing() -> None:
    pass


def _with_eager_requests(transport: Any) -> httpx2.AsyncBaseTransport:
    """The SDK's own transport, which begins its session with its first request."""
    transport.client = partial(_open_session, transport.limits, transport.ssl_context)
    given: httpx2.AsyncBaseTransport = transport
    return given


def _open_session(limits: httpx2.Limits, context: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=limits.max_connections or 0, keepalive_timeout=limits.keepalive_expiry, ssl=context
    )
    return aiohttp.ClientSession(connector=connector, request_class=EagerRequest)
