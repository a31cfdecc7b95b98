"""What all request bodies on their way in may take together, and how long one may pause.

Made by `app.py`; `bodies.py` and `files_api.py` read under it. A body takes memory, and when it is parsed several times
its size, before any limit of a run applies; a client that stops in the middle of one would keep its share for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from aiohttp import web

from runtime.inference.errors import BusyError, SlowBodyError

FREE: Final = 256 * 1024
"""Bytes of each body that do not count, so that small requests pass beside the largest one."""
LONGEST: Final = 600.0
"""Seconds that one body may take, however steadily its bytes come: as long as the SDKs wait for a reply."""
SILENCE: Final = 30.0


class Intake:
    """`capacity` bytes of bodies at a time; `silence` is the longest pause within one, seconds."""

    def __init__(self, capacity: int, silence: float = SILENCE) -> None:
        self._capacity = capacity
        self._silence = silence
        self._held = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Of one body, from its first byte until it is parsed."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.counted

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """For the next bytes. Raises SlowBodyError."""
        try:
            async with asyncio.timeout(self._silence):
                yield
        except TimeoutError as error:
            raise SlowBodyError(f"no byte of the body came for {self._silence:g} s; send it again") from error

    async def chunks(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body as it comes. Raises SlowBodyError."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST
        while True:
            async with self.patience():
                chunk = await request.content.readany()
            if not chunk and request.content.at_eof():
                return
            if loop.time() > end:
                raise SlowBodyError(f"the body took more than {LONGEST:g} s; send it faster, or as a file")
            yield chunk

    def take(self, size: int) -> None:
        """Raises BusyError."""
        if self._held + size > self._capacity:
            raise BusyError("too many large requests are being read at once; try again")
        self._held += size


class Share:
    """What one body has taken: `counted` bytes of `size`."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size = 0
        self.counted = 0

    def grow(self, by: int) -> None:
        """Raises BusyError."""
        self.size += by
        more = max(0, self.size - FREE) - self.counted
        if more:
            self._intake.take(more)
            self.counted += more


INTAKE: Final = web.AppKey("intake", Intake)
