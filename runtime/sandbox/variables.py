"""Variables on their way in and out of a session.

In: the body is streamed into a memory file, in the width that CPython's str will have (PEP 393), so that the session
process can copy it straight into a new str's own buffer. Out: bytes that the session process read from guest memory.
"""

from __future__ import annotations

import asyncio
import os
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from runtime.sandbox.errors import RequestError
from runtime.sandbox.memory_file import MemoryFile, Room
from runtime.wire import ErrorCode

INLINE_CHARACTERS: Final = 4096  # shorter text goes with the request; single characters are shared objects in CPython
PIECE: Final = 1 << 20  # of a body in conversion: only so much of it is in the server's own memory
WIDTHS: Final = ((0x100, 1, "latin-1", "\xff"), (0x10000, 2, "utf-16-le", "\u0100"), (0, 4, "utf-32-le", "\U00010000"))

Kind = Literal["text", "json"]


@dataclass(frozen=True)
class OutgoingVariable:
    """A str as UTF-8 (`text`), any other value as JSON; a part of the message that it came with, not copied."""

    kind: Kind
    data: memoryview


@dataclass(frozen=True)
class Bounds:
    """`body` bytes of one body, `memory` bytes of its text in the width that CPython's str will have."""

    body: int
    memory: int
    room: Room


@dataclass
class IncomingVariable:
    """Text of `length` characters, `received` as so many bytes: inline, or in the memory file with `width` bytes per
    character."""

    kind: Kind
    length: int
    received: int
    inline: str | None = None
    file: MemoryFile | None = None
    width: int = 1
    fill: str = "a"  # a character of the same str representation

    def description(self) -> dict[str, object]:
        """The guest's part of the request."""
        described: dict[str, object] = {"json": self.kind == "json", "length": self.length}
        if self.inline is not None:
            return {**described, "text": self.inline}
        return {**described, "width": self.width, "fill": self.fill}

    def descriptors(self) -> tuple[int, ...]:
        return () if self.file is None else (self.file.descriptor,)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


async def receive_variable(chunks: AsyncIterator[bytes], kind: Kind, bounds: Bounds) -> IncomingVariable:
    """Read a body of UTF-8 text. RequestError: 413 beyond the body's bound, 422 if it is no UTF-8 or too wide for a
    session, 429 without room."""
    file = MemoryFile(bounds.room)
    try:
        length, ascii_only = 0, True
        async for chunk in chunks:
            length += len(chunk)
            if length > bounds.body:
                raise RequestError(
                    ErrorCode.TOO_LARGE, f"a variable may have {bounds.body} bytes; split it into several"
                )
            ascii_only = ascii_only and chunk.isascii()
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    if ascii_only and length > INLINE_CHARACTERS:
        return IncomingVariable(kind, length, length, file=file)
    converting = asyncio.create_task(asyncio.to_thread(_convert, file, kind, bounds))
    try:
        return await asyncio.shield(converting)
    except asyncio.CancelledError:
        converting.add_done_callback(_close_result)  # the thread cannot be stopped and still uses the file
        raise


def _close_result(converting: asyncio.Task[IncomingVariable]) -> None:
    if converting.exception() is None:
        converting.result().close()


def _convert(utf8: MemoryFile, kind: Kind, bounds: Bounds) -> IncomingVariable:
    """Long text is written anew in its own width, piece by piece. Owns `utf8`."""
    try:
        length, largest = 0, "\0"
        for text in _decoded(utf8):
            length += len(text)
            largest = max(largest, "\x7f" if text.isascii() else max(text))
        if length <= INLINE_CHARACTERS:
            return IncomingVariable(kind, length, utf8.size, inline="".join(_decoded(utf8)))
        return _widen(utf8, kind, length, largest, bounds)
    finally:
        utf8.close()


def _widen(utf8: MemoryFile, kind: Kind, length: int, largest: str, bounds: Bounds) -> IncomingVariable:
    width, encoding, fill = next((w, e, f) for bound, w, e, f in WIDTHS if bound == 0 or ord(largest) < bound)
    if length * width > bounds.memory:
        message = f"{length} characters of {width} bytes each do not fit into a session's memory"
        raise RequestError(ErrorCode.INVALID_VALUE, message)
    file = MemoryFile(bounds.room)
    try:
        for text in _decoded(utf8):
            file.write(text.encode(encoding))
    except BaseException:
        file.close()
        raise
    return IncomingVariable(kind, length, utf8.size, file=file, width=width, fill=fill)


def _decoded(utf8: MemoryFile) -> Iterator[str]:
    """The file's text in pieces. RequestError: 422 where it is no UTF-8."""
    decoder = getincrementaldecoder("utf-8")()
    position = 0
    while True:
        piece = os.pread(utf8.descriptor, PIECE, position)
        before = position - len(decoder.getstate()[0])
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            place = before + error.start
            message = f"the body is no UTF-8: {error.reason} at byte {place}"
            raise RequestError(ErrorCode.INVALID_VALUE, message) from error
        if text:
            yield text
        if not piece:
            return
        position += len(piece)
