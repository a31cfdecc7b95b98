"""JSON bodies of requests: read within a limit, a time and a share of the server's memory, then parsed. Used by `app`.

A body that says that it is too large is refused before a byte of it is read, one that turns out to be at that byte:
its client hears so while it still sends, and what it sends from then on is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from runtime.json_size import has_more_values_than
from runtime.sandbox.errors import RequestError
from runtime.sandbox.memory_file import Room
from runtime.wire import ErrorCode

MAX_REQUEST: Final = 24 << 20  # a resume with the largest answer; code has its own, smaller cap
MAX_PLAIN_REQUEST: Final = 8 << 20  # any other body: code with every character escaped, and room
MAX_UNDONE: Final = 8 * MAX_REQUEST  # of all bodies that are read or whose text waits to be given to a guest
MAX_VALUES: Final = 50_000  # JSON values in a body; the longest list that is taken has 10,000
MAX_PROBLEMS: Final = 20  # of a malformed body that its error lists
SMALL: Final = 64 << 10  # what a connection has in its buffers anyway

ModelT = TypeVar("ModelT", bound=BaseModel)


class Body:
    """A body that was read; its share of the room ends with `release`."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> int:
        """Its length with `chunk`. RequestError: 429 when there is no room."""
        self._bytes += chunk
        wanted = len(self._bytes)
        if wanted > SMALL:
            self._room.take(wanted - self._held)
            self._held = wanted
        return wanted

    def parse(self, model: type[ModelT]) -> ModelT:
        """As `model`, once: the bytes are gone then. RequestError: 400 says which fields are wrong."""
        raw, self._bytes = self._bytes, bytearray()
        return _parse(raw, model)

    def release(self) -> None:
        """Nothing of it is in memory any more."""
        self._room.give(self._held)
        self._held = 0
        self._bytes = bytearray()


class Bodies:
    """A body must arrive within `seconds`; large ones have `most` bytes together."""

    def __init__(self, seconds: float, most: int = MAX_UNDONE) -> None:
        self._seconds = seconds
        self._room = Room(most, "requests")

    async def parse(self, request: web.Request, model: type[ModelT]) -> ModelT:
        """A plain request."""
        async with self.read(request, MAX_PLAIN_REQUEST) as body:
            return body.parse(model)

    @asynccontextmanager
    async def read(self, request: web.Request, limit: int) -> AsyncIterator[Body]:
        """RequestError: 413 beyond `limit` bytes, 408 when the client is too slow, 429 when there is no room."""
        refuse_announced(request, limit)
        body = Body(self._room)
        try:
            async with self.reading():
                async for chunk in request.content.iter_any():
                    _refuse_beyond(limit, body.add(chunk))
            yield body
        finally:
            body.release()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """408 when a client takes too long to send its body."""
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} s"
            raise RequestError(ErrorCode.SLOW_REQUEST, message) from None


def refuse_announced(request: web.Request, limit: int) -> None:
    """413 if the request says that its body has more than `limit` bytes."""
    _refuse_beyond(limit, request.content_length or 0)


def _refuse_beyond(limit: int, length: int) -> None:
    if length > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"the body has {length} bytes or more, at most {limit} are read here")


def _parse(raw: bytearray, model: type[ModelT]) -> ModelT:
    if has_more_values_than(MAX_VALUES, raw):
        raise RequestError(ErrorCode.MALFORMED, f"the body has more than {MAX_VALUES} JSON values")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:
            # Listing them would take longer than finding them.
            raise RequestError(ErrorCode.MALFORMED, f"{error.error_count()} fields are wrong") from None
        problems = [
            {"field": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        first = problems[0]
        message = f"{first['field'] or 'body'}: {first['problem']}"
        raise RequestError(ErrorCode.MALFORMED, message, problems) from error
