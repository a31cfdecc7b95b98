"""Variables on their way in and out of a session.

In: the body is streamed into a memory file, in the width that CPython's str will have (PEP 393), so that the session
process can copy it straight into a new str's own buffer. Out: bytes that the session process read from guest memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from runtime.sandbox.errors import RequestError
from runtime.wire import ErrorCode

INLINE_CHARACTERS: Final = 4096  # shorter text goes with the request; single characters are shared objects in CPython
WIDTHS: Final = ((0x100, 1, "latin-1", "\xff"), (0x10000, 2, "utf-16-le", "\u0100"), (0, 4, "utf-32-le", "\U00010000"))

Kind = Literal["text", "json"]


@dataclass(frozen=True)
class OutgoingVariable:
    """A str as UTF-8 (`text`), any other value as JSON."""

    kind: Kind
    data: bytes


@dataclass
class IncomingVariable:
    """Text of `length` characters, `received` as so many bytes: inline, or in the memory file `descriptor` with
    `width` bytes per character."""

    kind: Kind
    length: int
    received: int
    inline: str | None = None
    descriptor: int | None = None
    width: int = 1
    fill: str = "a"  # a character of the same str representation

    def description(self) -> dict[str, object]:
        """The guest's part of the request."""
        described: dict[str, object] = {"json": self.kind == "json", "length": self.length}
        if self.inline is not None:
            return {**described, "text": self.inline}
        return {**described, "width": self.width, "fill": self.fill}

    def descriptors(self) -> tuple[int, ...]:
        return () if self.descriptor is None else (self.descriptor,)

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


async def receive_variable(chunks: AsyncIterator[bytes], kind: Kind, limit: int) -> IncomingVariable:
    """Read a body of UTF-8 text. RequestError: 413 beyond `limit` bytes, 422 if it is no UTF-8."""
    descriptor = os.memfd_create("variable", os.MFD_CLOEXEC)
    try:
        length, ascii_only = 0, True
        async for chunk in chunks:
            length += len(chunk)
            if length > limit:
                raise RequestError(ErrorCode.TOO_LARGE, f"a variable may have {limit} bytes; split it into several")
            ascii_only = ascii_only and chunk.isascii()
            _write_all(descriptor, chunk)
    except BaseException:
        os.close(descriptor)
        raise
    if ascii_only and length > INLINE_CHARACTERS:
        return IncomingVariable(kind, length, length, descriptor=descriptor)
    converting = asyncio.create_task(asyncio.to_thread(_convert, descriptor, kind, length))
    try:
        return await asyncio.shield(converting)
    except asyncio.CancelledError:
        converting.add_done_callback(_close_result)  # the thread cannot be stopped and still uses the descriptor
        raise


def _close_result(converting: asyncio.Task[IncomingVariable]) -> None:
    if converting.exception() is None:
        converting.result().close()


def _convert(descriptor: int, kind: Kind, length: int) -> IncomingVariable:
    """Decode the file's UTF-8; long text is written back in its own width. Owns the descriptor."""
    try:
        variable = _decode(descriptor, kind, length)
    except BaseException:
        os.close(descriptor)
        raise
    if variable.descriptor is None:
        os.close(descriptor)
    return variable


def _decode(descriptor: int, kind: Kind, length: int) -> IncomingVariable:
    try:
        text = os.pread(descriptor, length, 0).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(
            ErrorCode.INVALID_VALUE, f"the body is no UTF-8: {error.reason} at byte {error.start}"
        ) from error
    if len(text) <= INLINE_CHARACTERS:
        return IncomingVariable(kind, len(text), length, inline=text)
    largest = ord(max(text))
    width, encoding, fill = next((w, e, f) for bound, w, e, f in WIDTHS if bound == 0 or largest < bound)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write_all(descriptor, text.encode(encoding))
    return IncomingVariable(kind, len(text), length, descriptor=descriptor, width=width, fill=fill)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
