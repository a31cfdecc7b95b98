"""Bounds of guest addresses, which are guest input."""

from __future__ import annotations

import pytest

from runtime.sandbox.linear_memory import MAX_IOVECS, OutOfBoundsError
from tests.runtime.sandbox.guest_memory import GuestMemory

LENGTH = 1 << 16


def test_what_is_written_is_read_and_seen_through_a_view() -> None:
    memory = GuestMemory(LENGTH).memory
    memory.write(100, b"hello")
    assert memory.read(100, 5) == b"hello"
    memory.view(100, 5)[:2] = b"HE"
    assert memory.read(100, 5) == b"HEllo"


@pytest.mark.parametrize(
    ("address", "length"),
    [(LENGTH, 1), (LENGTH - 1, 2), (0, LENGTH + 1), (-1, 1), (-1, 2), (0, -1), (0xFFFFFFFF, 0xFFFFFFFF)],
)
def test_a_range_outside_is_refused(address: int, length: int) -> None:
    memory = GuestMemory(LENGTH).memory
    for access in (memory.read, memory.view):
        with pytest.raises(OutOfBoundsError):
            access(address, length)


def test_a_write_across_the_end_changes_nothing() -> None:
    guest = GuestMemory(LENGTH)
    with pytest.raises(OutOfBoundsError):
        guest.memory.write(LENGTH - 2, b"abc")
    assert guest.memory.read(LENGTH - 2, 2) == b"\0\0"


def test_the_last_byte_and_an_empty_range_at_the_end_are_inside() -> None:
    memory = GuestMemory(LENGTH).memory
    memory.write(LENGTH - 1, b"x")
    assert memory.read(LENGTH - 1, 1) == b"x"
    assert memory.read(LENGTH, 0) == b""


def test_growth_is_noticed_at_the_first_access_beyond() -> None:
    guest = GuestMemory(LENGTH)
    guest.length = 2 * LENGTH
    guest.memory.write(LENGTH + 5, b"x")
    assert guest.memory.size() == 2 * LENGTH


def test_integers_are_little_endian_and_wrap() -> None:
    memory = GuestMemory(LENGTH).memory
    memory.write_u32(0, -1)
    memory.write_u64(8, 1 << 64 | 5)
    assert memory.read(0, 4) == b"\xff" * 4
    assert memory.read(8, 8) == b"\x05" + b"\0" * 7


def test_too_many_iovecs_are_refused() -> None:
    memory = GuestMemory(length=1 << 16).memory
    assert len(memory.iovecs(64, MAX_IOVECS)) == MAX_IOVECS
    for count in (MAX_IOVECS + 1, -1):
        with pytest.raises(OutOfBoundsError):
            memory.iovecs(64, count)


def test_iovecs_are_pairs_and_bounded() -> None:
    guest = GuestMemory(LENGTH)
    address = guest.place_iovecs((1, 2), (3, 4))
    assert guest.memory.iovecs(address, 2) == [(1, 2), (3, 4)]
    with pytest.raises(OutOfBoundsError):
        guest.memory.iovecs(address, LENGTH)
