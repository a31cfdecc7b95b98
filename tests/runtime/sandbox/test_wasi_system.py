"""WASI calls that are not about files: door, output, time, randomness, arguments."""

from __future__ import annotations

import os
import struct
import time

import pytest

from runtime.sandbox.errno import Errno
from runtime.sandbox.wasi_descriptors import MAX_DOOR_MESSAGE
from runtime.sandbox.wasi_signatures import SIGNATURES
from tests.runtime.sandbox.guest_memory import GuestMemory
from tests.runtime.sandbox.wasi_guest import (
    HOST_FD,
    WasiGuest,
    clock_subscription,
    descriptor_subscription,
)


def test_a_door_message_is_handed_over_and_its_reply_read_once() -> None:
    wasi = WasiGuest(door_reply=b"the reply")
    door = wasi.open("door", fd=HOST_FD)
    assert wasi.write(door, b"N", b"question") == (Errno.SUCCESS, len(b"the reply"))
    assert wasi.doors == [b"Nquestion"]
    assert wasi.read(door, 100) == (Errno.SUCCESS, b"the reply")
    assert wasi.read(door, 100) == (Errno.SUCCESS, b"")


def test_a_door_message_beyond_the_cap_never_reaches_the_host() -> None:
    wasi = WasiGuest(GuestMemory(length=1 << 20))
    door = wasi.open("door", fd=HOST_FD)
    times = MAX_DOOR_MESSAGE // (1 << 19) + 1
    vectors = wasi.guest.place_iovecs(*[(0, 1 << 19)] * times)
    assert wasi.call("fd_write", door, vectors, times, wasi.guest.reserve(4)) is Errno.FBIG
    assert wasi.doors == []


def test_raw_output_is_kept_up_to_the_cap_and_reported_as_written() -> None:
    wasi = WasiGuest(output_cap=8)
    assert wasi.write(1, b"12345", b"67890") == (Errno.SUCCESS, 10)
    assert wasi.write(1, b"more") == (Errno.SUCCESS, 4)
    assert wasi.write(2, b"err") == (Errno.SUCCESS, 3)
    assert (wasi.wasi.stdout.take(), wasi.wasi.stdout.truncated) == (b"12345678", True)
    assert (wasi.wasi.stderr.take(), wasi.wasi.stderr.truncated) == (b"err", False)
    assert wasi.wasi.stdout.take() == b""


def test_stdin_is_empty() -> None:
    assert WasiGuest().read(0, 10) == (Errno.SUCCESS, b"")


def test_random_bytes_differ_and_fill_the_whole_buffer() -> None:
    wasi = WasiGuest()
    buffer = wasi.guest.reserve(64)
    seen = set()
    for _ in range(10):
        assert wasi.call("random_get", buffer, 64) is Errno.SUCCESS
        seen.add(wasi.guest.memory.read(buffer, 64))
    assert len(seen) == 10
    assert wasi.call("random_get", buffer, -1) is Errno.FAULT


def test_hash_secret_is_the_same_everywhere_where_the_image_fixes_the_hash_seed() -> None:
    """It is what the interpreter asks for first; everything after it is random."""
    first: set[bytes] = set()
    later: set[bytes] = set()
    for _ in range(3):
        wasi = WasiGuest(environment={"PYTHONHASHSEED": "0"})
        buffer = wasi.guest.reserve(24)
        for seen in (first, later):
            assert wasi.call("random_get", buffer, 24) is Errno.SUCCESS
            seen.add(wasi.guest.memory.read(buffer, 24))
    assert (len(first), len(later)) == (1, 3)


def test_random_bytes_differ_between_forks() -> None:
    wasi = WasiGuest()
    buffer = wasi.guest.reserve(32)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        wasi.call("random_get", buffer, 32)
        os.write(writing, wasi.guest.memory.read(buffer, 32))
        os._exit(0)
    os.waitpid(child, 0)
    wasi.call("random_get", buffer, 32)
    assert os.read(reading, 32) != wasi.guest.memory.read(buffer, 32)
    os.close(reading)
    os.close(writing)


def test_clocks_advance_and_real_time_is_real() -> None:
    wasi = WasiGuest()
    result = wasi.guest.reserve(8)

    def now(clock: int) -> int:
        assert wasi.call("clock_time_get", clock, 0, result) is Errno.SUCCESS
        return wasi.guest.u64(result)

    assert abs(now(0) - time.time_ns()) < 10**9
    assert now(1) <= now(1)
    assert wasi.call("clock_res_get", 1, result) is Errno.SUCCESS
    assert wasi.guest.u64(result) == 1000


def test_poll_sleeps_for_the_nearest_clock_and_reports_it() -> None:
    wasi = WasiGuest()
    started = time.monotonic_ns()
    result = wasi.poll(clock_subscription(7, 10**15), clock_subscription(8, 5_000_000))
    assert result == (Errno.SUCCESS, [(8, 0)])
    assert time.monotonic_ns() - started >= 5_000_000


def test_poll_with_a_deadline_in_the_past_returns_at_once() -> None:
    assert WasiGuest().poll(clock_subscription(1, 5, absolute=True)) == (Errno.SUCCESS, [(1, 0)])


def test_poll_with_a_deadline_sleeps_until_it() -> None:
    deadline = time.monotonic_ns() + 5_000_000
    assert WasiGuest().poll(clock_subscription(1, deadline, absolute=True)) == (Errno.SUCCESS, [(1, 0)])
    assert time.monotonic_ns() >= deadline


def test_poll_of_descriptors_is_ready_at_once_without_the_clock() -> None:
    wasi = WasiGuest()
    result = wasi.poll(clock_subscription(1, 10**15), descriptor_subscription(2, 0), descriptor_subscription(3, 1))
    assert result == (Errno.SUCCESS, [(2, 1), (3, 1)])


def test_poll_of_nothing_is_invalid() -> None:
    assert WasiGuest().poll()[0] is Errno.INVAL


def test_poll_with_a_forged_count_is_a_fault() -> None:
    wasi = WasiGuest()
    address = wasi.guest.place(clock_subscription(1, 1))
    assert wasi.call("poll_oneoff", address, address, -1, wasi.guest.reserve(4)) is Errno.FAULT


@pytest.mark.parametrize(
    ("sizes", "values", "expected"),
    [
        ("args_sizes_get", "args_get", [b"python", b"-c"]),
        ("environ_sizes_get", "environ_get", [b"HOME=/tmp"]),
    ],
)
def test_arguments_and_environment_are_the_given_ones(sizes: str, values: str, expected: list[bytes]) -> None:
    wasi = WasiGuest()
    count, size = wasi.guest.reserve(4), wasi.guest.reserve(4)
    assert wasi.call(sizes, count, size) is Errno.SUCCESS
    pointers = wasi.guest.reserve(4 * wasi.guest.u32(count))
    buffer = wasi.guest.reserve(wasi.guest.u32(size))
    assert wasi.call(values, pointers, buffer) is Errno.SUCCESS
    assert wasi.guest.memory.read(buffer, wasi.guest.u32(size)).split(b"\0")[:-1] == expected
    assert wasi.guest.u32(pointers) == buffer


def test_exit_is_told_to_the_host() -> None:
    wasi = WasiGuest()
    wasi.wasi.functions()["proc_exit"][1](3)
    assert wasi.exits == [3]


@pytest.mark.parametrize("name", ["sock_accept", "sock_recv", "sock_send", "sock_shutdown", "path_link", "proc_raise"])
def test_sockets_links_and_signals_are_not_there(name: str) -> None:
    assert WasiGuest().call(name, *(0,) * len(SIGNATURES[name])) is Errno.NOSYS


def test_every_function_of_the_snapshot_is_offered() -> None:
    assert set(WasiGuest().wasi.functions()) == set(SIGNATURES)
    assert len(SIGNATURES) == 46


def test_descriptor_status_tells_kind_and_flags() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a")
    status = wasi.guest.reserve(24)
    assert wasi.call("fd_fdstat_set_flags", fd, 1) is Errno.SUCCESS
    assert wasi.call("fd_fdstat_get", fd, status) is Errno.SUCCESS
    assert struct.unpack("<BxH", wasi.guest.memory.read(status, 4)) == (4, 1)
    assert wasi.call("fd_fdstat_get", 1, status) is Errno.SUCCESS
    assert wasi.guest.memory.read(status, 1) == b"\x02"
