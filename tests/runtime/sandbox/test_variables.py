"""Bodies streamed into memory files in the width of CPython's str."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.sandbox.errors import RequestError
from runtime.sandbox.memory_file import Room
from runtime.sandbox.variables import INLINE_CHARACTERS, PIECE, Bounds, IncomingVariable, receive_variable
from runtime.wire import ErrorCode

LIMIT = 1 << 20
LONG = INLINE_CHARACTERS + 1


async def chunks(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for offset in range(0, len(data), size):
        yield data[offset : offset + size]


def bounds(body: int = LIMIT, memory: int = 4 * LIMIT, room: int = 8 * LIMIT) -> Bounds:
    return Bounds(body, memory, Room(room))


async def receive(data: bytes, size: int = 1000) -> IncomingVariable:
    return await receive_variable(chunks(data, size), "text", bounds())


def stored(variable: IncomingVariable) -> bytes:
    (descriptor,) = variable.descriptors()
    data = os.pread(descriptor, 8 * LIMIT, 0)
    variable.close()
    return data


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("text", ["", "a", "é", "\U0001f600", "x" * INLINE_CHARACTERS, "é" * INLINE_CHARACTERS])
async def test_short_text_goes_inline(text: str) -> None:
    before = open_descriptors()
    variable = await receive(text.encode())
    assert (variable.inline, variable.length, variable.descriptors()) == (text, len(text), ())
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("character", "width", "encoding"),
    [
        ("a", 1, "latin-1"),
        ("\x7f", 1, "latin-1"),
        ("\x80", 1, "latin-1"),
        ("ÿ", 1, "latin-1"),
        ("Ā", 2, "utf-16-le"),
        ("中", 2, "utf-16-le"),
        ("\uffff", 2, "utf-16-le"),
        ("\U00010000", 4, "utf-32-le"),
        ("\U0010ffff", 4, "utf-32-le"),
    ],
)
async def test_long_text_is_stored_in_the_width_of_its_widest_character(
    character: str, width: int, encoding: str
) -> None:
    text = "a" * LONG + character
    variable = await receive(text.encode())
    assert (variable.width, variable.length) == (width, len(text))
    assert stored(variable) == text.encode(encoding)


@pytest.mark.parametrize("character", ["a", "é", "中", "\U0001f600"])
async def test_the_fill_character_has_the_same_representation_as_the_text(character: str) -> None:
    variable = await receive((character * LONG).encode())
    assert len(variable.fill) == 1
    widths = {1: range(0x100), 2: range(0x100, 0x10000), 4: range(0x10000, 0x110000)}
    assert ord(variable.fill) in widths[variable.width]
    assert variable.fill.isascii() == character.isascii()
    variable.close()


async def test_a_character_cut_between_chunks_is_whole_again() -> None:
    text = "中é" * LONG
    assert stored(await receive(text.encode(), size=1)) == text.encode("utf-16-le")


@pytest.mark.parametrize("data", [b"\xff", b"a" * LONG + b"\xc3", b"\xed\xa0\x80" * LONG, b"\xc0\x80"])
async def test_what_is_no_utf8_is_refused_with_the_place(data: bytes) -> None:
    before = open_descriptors()
    with pytest.raises(RequestError, match="at byte") as refused:
        await receive(data)
    assert (refused.value.code, refused.value.status) == (ErrorCode.INVALID_VALUE, 422)
    assert open_descriptors() == before


async def test_a_body_beyond_the_limit_is_refused_before_it_is_all_read() -> None:
    before = open_descriptors()
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 100_000

    with pytest.raises(RequestError) as refused:
        await receive_variable(endless(), "text", bounds())
    assert (refused.value.code, refused.value.status) == (ErrorCode.TOO_LARGE, 413)
    assert read == LIMIT // 100_000 + 1
    assert open_descriptors() == before


async def test_a_long_body_is_whole_across_the_pieces_of_its_conversion() -> None:
    text = "x" * (PIECE - 1) + "中" + "y" * PIECE + "é"
    size = len(text.encode())
    variable = await receive_variable(chunks(text.encode(), size), "text", bounds(size, 4 * size, 8 * size))
    assert stored(variable) == text.encode("utf-16-le")
    data = b"x" * (PIECE - 1) + "é".encode() + b"\xff"
    with pytest.raises(RequestError, match=f"at byte {PIECE + 1}$"):
        await receive_variable(chunks(data, size), "text", bounds(size, 4 * size, 8 * size))


async def test_bodies_that_are_too_many_at_once_are_429_and_leave_nothing_behind() -> None:
    before = open_descriptors()
    limits = bounds(room=2 * LIMIT)
    held = [await receive_variable(chunks(b"x" * LIMIT), "text", limits) for _ in range(2)]
    for character in (b"x", "é".encode()):
        with pytest.raises(RequestError) as refused:
            await receive_variable(chunks(character * LONG), "text", limits)
        assert (refused.value.code, refused.value.status) == (ErrorCode.QUEUE_FULL, 429)
    held.pop().close()
    held.append(await receive_variable(chunks(b"x" * LIMIT), "text", limits))
    for variable in held:
        variable.close()
    assert limits.room.held == 0
    assert open_descriptors() == before


async def test_text_that_is_wider_than_a_sessions_memory_is_refused_before_it_is_widened() -> None:
    limits = bounds(memory=2 * LIMIT)
    with pytest.raises(RequestError) as refused:
        await receive_variable(chunks(b"x" * (LIMIT - 4) + "\U0001f600".encode()), "text", limits)
    assert (refused.value.code, refused.value.status) == (ErrorCode.INVALID_VALUE, 422)
    assert limits.room.held == 0


async def test_exactly_the_limit_is_accepted() -> None:
    assert len(stored(await receive(b"x" * LIMIT, size=LIMIT))) == LIMIT


async def test_a_client_that_goes_away_leaves_no_descriptor_behind() -> None:
    before = open_descriptors()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    reading = asyncio.create_task(receive_variable(stuck(), "text", bounds()))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert open_descriptors() == before


async def test_a_client_that_goes_away_during_the_conversion_leaves_no_descriptor_behind() -> None:
    before = open_descriptors()
    body = "é".encode() * (LIMIT // 2)
    for delay in (0, 0.0005, 0.001, 0.002):
        reading = asyncio.create_task(receive_variable(chunks(body, LIMIT), "text", bounds()))
        await asyncio.sleep(delay)
        reading.cancel()
        (result,) = await asyncio.gather(reading, return_exceptions=True)
        if isinstance(result, IncomingVariable):
            result.close()
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)
    assert open_descriptors() <= before


async def test_what_the_guest_is_told_has_no_descriptor_in_it() -> None:
    inline = await receive(b"abc")
    assert inline.description() == {"json": False, "length": 3, "text": "abc"}
    variable = await receive_variable(chunks(b'"%s"' % (b"x" * LONG)), "json", bounds())
    assert variable.description() == {"json": True, "length": LONG + 2, "width": 1, "fill": "a"}
    variable.close()
    variable.close()
