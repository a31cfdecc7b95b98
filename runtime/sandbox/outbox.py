"""Large replies on their way to their clients, in the server's memory until they are read.

A client that reads slowly, or not at all, would hold that memory for as long as it likes. `app` sends through it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from runtime.sandbox.errors import RequestError
from runtime.wire import ErrorCode

SMALL: Final = 64 << 10  # what the sockets' own buffers take
PIECE: Final = 256 << 10
POLL_SECONDS: Final = 0.02

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Delivery:
    """`size` bytes of room for one reply. Its time runs from the first byte that is sent."""

    size: int
    sent: int = 0
    started: float | None = None
    transport: asyncio.BaseTransport | None = None


class Outbox:
    """At most `capacity` bytes are on their way and no reply takes longer than `seconds`. While others wait for room, a
    client that has read for `patience` seconds with less than `pace` bytes a second is cut off."""

    def __init__(self, capacity: int, seconds: float, patience: float = 5.0, pace: float = 1 << 20) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._patience = patience
        self._pace = pace
        self._deliveries: set[Delivery] = set()
        self._made: Counter[str] = Counter()  # bytes of replies that wait for room, by whose they are

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[Delivery]:
        """Wait for room for a reply of at most `size` bytes, before it is made. RequestError: 429 if there is none."""
        delivery = Delivery(min(size, self._capacity))
        try:
            async with asyncio.timeout(self._seconds):
                while delivery.size + sum(other.size for other in self._deliveries) > self._capacity:
                    self._cut_off_slow_readers()
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            message = "replies that were asked for before fill the room for replies; try again later"
            raise RequestError(ErrorCode.QUEUE_TIMEOUT, message) from None
        self._deliveries.add(delivery)
        try:
            yield delivery
        finally:
            self._deliveries.discard(delivery)

    def refuse_if_behind(self, owner: str) -> None:
        """Before something is begun whose reply may be large. RequestError: 429 if `owner` leaves so many of the
        earlier ones unread that the server must keep the next ones, too."""
        if self._made[owner] > self._capacity // 2:
            message = f"{self._made[owner]} bytes of replies to this key wait to be read; read them, then try again"
            raise RequestError(ErrorCode.QUEUE_FULL, message)

    async def send(self, request: web.Request, response: web.Response, owner: str) -> web.StreamResponse:
        """`response`, or what was sent of it in pieces if it is large."""
        body = response.body
        if not isinstance(body, bytes) or len(body) <= SMALL:
            return response
        async with AsyncExitStack() as held:
            self._made[owner] += len(body)
            try:
                delivery = await held.enter_async_context(self.room(len(body)))
            finally:
                self._made[owner] -= len(body)
            return await self.deliver(delivery, request, response, body)

    async def deliver(
        self, delivery: Delivery, request: web.Request, response: web.Response, body: bytes | memoryview
    ) -> web.StreamResponse:
        """Send `body` with the head of `response` in the room that it has."""
        delivery.transport, delivery.started = request.transport, time.monotonic()
        streamed = web.StreamResponse(status=response.status, headers=response.headers)
        streamed.content_length = len(body)
        try:
            async with asyncio.timeout(self._seconds):
                await streamed.prepare(request)
                for start in range(0, len(body), PIECE):
                    await streamed.write(memoryview(body)[start : start + PIECE])
                    delivery.sent = start
                await streamed.write_eof()
        except TimeoutError:
            _cut_off(delivery)
            raise
        return streamed

    def _cut_off_slow_readers(self) -> None:
        now = time.monotonic()
        for delivery in list(self._deliveries):
            taken = 0.0 if delivery.started is None else now - delivery.started
            if taken > self._patience and delivery.sent < taken * self._pace:
                self._deliveries.discard(delivery)
                _cut_off(delivery)


def _cut_off(delivery: Delivery) -> None:
    log.warning("a client did not read its reply; its connection is closed")
    if isinstance(delivery.transport, asyncio.WriteTransport):
        delivery.transport.abort()
