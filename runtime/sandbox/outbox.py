"""Large replies on their way to their clients, in the server's memory until they are read.

A client that reads slowly, or not at all, would hold that memory for as long as it likes. `app` sends through it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web

SMALL: Final = 64 << 10  # what the sockets' own buffers take
PIECE: Final = 256 << 10

log = logging.getLogger(__name__)


class Outbox:
    """At most `capacity` bytes wait, each reply for at most `seconds`; then the connection is closed, beginning with
    the one that has waited longest."""

    def __init__(self, capacity: int, seconds: float) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._waiting: dict[asyncio.BaseTransport, int] = {}

    async def send(self, request: web.Request, response: web.Response) -> web.StreamResponse:
        """`response`, or what was sent of it in pieces if it is large."""
        body = response.body
        transport = request.transport
        if not isinstance(body, bytes) or len(body) <= SMALL or transport is None:
            return response
        self._waiting[transport] = len(body)
        self._make_room()
        try:
            async with asyncio.timeout(self._seconds):
                return await _send_in_pieces(request, response, memoryview(body))
        except TimeoutError:
            _cut_off(transport)
            raise
        finally:
            self._waiting.pop(transport, None)

    def _make_room(self) -> None:
        while sum(self._waiting.values()) > self._capacity and len(self._waiting) > 1:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            _cut_off(oldest)


async def _send_in_pieces(request: web.Request, response: web.Response, body: memoryview) -> web.StreamResponse:
    streamed = web.StreamResponse(status=response.status, headers=response.headers)
    streamed.content_length = len(body)
    await streamed.prepare(request)
    for start in range(0, len(body), PIECE):
        await streamed.write(body[start : start + PIECE])
    await streamed.write_eof()
    return streamed


def _cut_off(transport: asyncio.BaseTransport) -> None:
    log.warning("a client did not read its reply; its connection is closed")
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
