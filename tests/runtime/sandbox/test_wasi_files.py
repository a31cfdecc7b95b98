"""WASI calls on files and directories, by guest addresses."""

from __future__ import annotations

import struct

import pytest

from runtime.sandbox.descriptors import DIRECTORY, FDFLAG_APPEND, MAX_DESCRIPTORS, REGULAR_FILE
from runtime.sandbox.errno import Errno
from runtime.sandbox.wasi_paths import MAX_PATH, OFLAG_CREATE, OFLAG_DIRECTORY, OFLAG_EXCLUSIVE, OFLAG_TRUNCATE
from tests.runtime.sandbox.wasi_guest import HOST_FD, LIB_FD, TMP_FD, WasiGuest

FAR = 0x7FFF_0000


def test_a_file_is_written_in_parts_and_read_in_parts() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a")
    assert wasi.write(fd, b"hello ", b"", b"world") == (Errno.SUCCESS, 11)
    assert wasi.seek(fd, 0, 0) == (Errno.SUCCESS, 0)
    assert wasi.read(fd, 4, 100) == (Errno.SUCCESS, b"hello world")
    assert wasi.read(fd, 10) == (Errno.SUCCESS, b"")


@pytest.mark.parametrize(
    ("offset", "whence", "expected"),
    [(3, 0, 3), (-2, 2, 8), (1, 1, 11), (100, 0, 100)],
)
def test_seek_counts_from_start_position_or_end(offset: int, whence: int, expected: int) -> None:
    wasi = WasiGuest()
    fd = wasi.create("a", b"0123456789")
    assert wasi.seek(fd, offset, whence) == (Errno.SUCCESS, expected)


@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-11, 2), (0, 3), (0, -1)])
def test_seek_before_the_start_or_by_an_unknown_origin_is_invalid(offset: int, whence: int) -> None:
    wasi = WasiGuest()
    fd = wasi.create("a", b"0123456789")
    assert wasi.seek(fd, offset, whence)[0] is Errno.INVAL


def test_standard_streams_cannot_seek() -> None:
    wasi = WasiGuest()
    assert [wasi.seek(fd, 0, 1)[0] for fd in (0, 1, 2)] == [Errno.SPIPE] * 3


def test_append_writes_at_the_end_wherever_the_position_is() -> None:
    wasi = WasiGuest()
    wasi.create("a", b"start")
    fd = wasi.open("a", fdflags=FDFLAG_APPEND)
    wasi.write(fd, b"+end")
    wasi.seek(fd, 0, 0)
    assert wasi.read(fd, 100) == (Errno.SUCCESS, b"start+end")


def test_pread_and_pwrite_leave_the_position_alone() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a", b"0123456789")
    result = wasi.guest.reserve(4)
    target = wasi.guest.reserve(3)
    wasi.call("fd_pread", fd, wasi.guest.place_iovecs((target, 3)), 1, 4, result)
    assert wasi.guest.memory.read(target, 3) == b"456"
    source = wasi.guest.place(b"ab")
    wasi.call("fd_pwrite", fd, wasi.guest.place_iovecs((source, 2)), 1, 0, result)
    assert wasi.seek(fd, 0, 1) == (Errno.SUCCESS, 10)


def test_negative_offsets_and_sizes_are_invalid_and_cost_no_space() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a", b"0123456789")
    vectors, result = wasi.guest.place_iovecs((wasi.guest.place(b"x" * 100), 100)), wasi.guest.reserve(4)
    assert wasi.call("fd_pwrite", fd, vectors, 1, -(10**12), result) is Errno.INVAL
    assert wasi.call("fd_pread", fd, vectors, 1, -5, result) is Errno.INVAL
    assert wasi.call("fd_filestat_set_size", fd, -5) is Errno.INVAL
    assert wasi.call("fd_allocate", fd, -5, 10) is Errno.INVAL
    assert wasi.seek(fd, 0, 2) == (Errno.SUCCESS, 10)


def test_a_file_beyond_the_capacity_is_no_space() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a")
    assert wasi.call("fd_filestat_set_size", fd, 1 << 40) is Errno.NOSPC
    assert wasi.call("fd_allocate", fd, 0, 1 << 40) is Errno.NOSPC
    wasi.seek(fd, 1 << 40, 0)
    assert wasi.write(fd, b"x")[0] is Errno.NOSPC


def test_unlinked_files_held_open_do_not_escape_the_capacity() -> None:
    wasi = WasiGuest()
    held = wasi.create("a")
    assert wasi.call("fd_filestat_set_size", held, 1 << 16) is Errno.SUCCESS
    assert wasi.call("path_unlink_file", TMP_FD, *wasi.path("a")) is Errno.SUCCESS
    other = wasi.create("b")
    assert wasi.write(other, b"x")[0] is Errno.NOSPC
    assert wasi.call("fd_close", held) is Errno.SUCCESS
    assert wasi.write(other, b"x") == (Errno.SUCCESS, 1)


@pytest.mark.parametrize(
    ("name", "oflags", "errno"),
    [
        ("absent", 0, Errno.NOENT),
        ("there", OFLAG_CREATE | OFLAG_EXCLUSIVE, Errno.EXIST),
        ("there", OFLAG_DIRECTORY, Errno.NOTDIR),
        ("absent", OFLAG_DIRECTORY, Errno.NOENT),
        ("absent/below", OFLAG_CREATE, Errno.NOENT),
        ("there/below", OFLAG_CREATE, Errno.NOTDIR),
        ("../etc/passwd", 0, Errno.NOTCAPABLE),
        ("/etc/passwd", 0, Errno.NOTCAPABLE),
        ("../tmp2", 0, Errno.NOTCAPABLE),
        ("n" * (MAX_PATH + 1), OFLAG_CREATE, Errno.NAMETOOLONG),
        ("n" * MAX_PATH, OFLAG_CREATE, Errno.NAMETOOLONG),  # with the folder before it
    ],
)
def test_what_cannot_be_opened_says_why(name: str, oflags: int, errno: Errno) -> None:
    wasi = WasiGuest()
    wasi.create("there")
    assert wasi.try_open(name, oflags)[0] is errno


def test_truncate_empties_a_file() -> None:
    wasi = WasiGuest()
    wasi.create("a", b"0123456789")
    assert wasi.seek(wasi.open("a", OFLAG_TRUNCATE), 0, 2) == (Errno.SUCCESS, 0)


def test_the_images_files_can_be_read_but_not_written() -> None:
    wasi = WasiGuest()
    fd = wasi.open("stdlib.zip", fd=LIB_FD)
    assert wasi.read(fd, 100) == (Errno.SUCCESS, b"image")
    assert wasi.write(fd, b"x")[0] is Errno.ROFS
    assert wasi.try_open("stdlib.zip", OFLAG_TRUNCATE, fd=LIB_FD)[0] is Errno.ROFS
    assert wasi.try_open("new.py", OFLAG_CREATE, fd=LIB_FD)[0] is Errno.ROFS


def test_descriptors_run_out_and_come_back() -> None:
    wasi = WasiGuest()
    opened = [wasi.create(f"f{number}") for number in range(MAX_DESCRIPTORS - 3)]
    assert wasi.try_open("one-more", OFLAG_CREATE)[0] is Errno.MFILE
    assert wasi.call("path_filestat_get", TMP_FD, 0, *wasi.path("one-more"), wasi.guest.reserve(64)) is Errno.NOENT
    wasi.call("fd_close", opened[10])
    assert wasi.open("f0") == opened[10]


def test_renumber_moves_a_descriptor_over_another() -> None:
    wasi = WasiGuest()
    first, second = wasi.create("a", b"aaa"), wasi.create("b", b"bbb")
    assert wasi.call("fd_renumber", first, second) is Errno.SUCCESS
    wasi.seek(second, 0, 0)
    assert wasi.read(second, 10) == (Errno.SUCCESS, b"aaa")
    assert wasi.read(first, 10)[0] is Errno.BADF
    assert wasi.call("fd_renumber", second, second) is Errno.SUCCESS
    assert wasi.call("fd_renumber", second, TMP_FD) is Errno.NOTSUP


def test_unknown_descriptors_are_bad() -> None:
    wasi = WasiGuest()
    assert wasi.write(99, b"x")[0] is Errno.BADF
    assert wasi.read(-1, 5)[0] is Errno.BADF
    assert wasi.call("fd_close", 99) is Errno.BADF
    assert wasi.call("fd_prestat_get", 99, 0) is Errno.BADF


def test_a_directory_is_neither_read_nor_written() -> None:
    wasi = WasiGuest()
    assert wasi.write(TMP_FD, b"x")[0] is Errno.ISDIR
    assert wasi.read(TMP_FD, 5)[0] is Errno.ISDIR


def test_a_file_is_no_directory_to_open_below() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a")
    assert wasi.try_open("x", OFLAG_CREATE, fd=fd)[0] is Errno.NOTDIR


def test_mounts_announce_themselves_and_stay_open() -> None:
    wasi = WasiGuest()
    stat = wasi.guest.reserve(8)
    names = []
    for fd in (TMP_FD, LIB_FD, HOST_FD):
        assert wasi.call("fd_prestat_get", fd, stat) is Errno.SUCCESS
        length = wasi.guest.u32(stat + 4)
        name = wasi.guest.reserve(length)
        assert wasi.call("fd_prestat_dir_name", fd, name, length) is Errno.SUCCESS
        names.append(wasi.guest.memory.read(name, length))
    assert names == [b"/tmp", b"/usr/lib", b"/host"]
    assert wasi.call("fd_close", TMP_FD) is Errno.SUCCESS
    assert wasi.call("fd_prestat_get", TMP_FD, stat) is Errno.SUCCESS


def test_stat_tells_kind_and_size() -> None:
    wasi = WasiGuest()
    wasi.create("a", b"12345")
    stat = wasi.guest.reserve(64)

    def stat_of(name: str) -> tuple[int, int]:
        assert wasi.call("path_filestat_get", TMP_FD, 0, *wasi.path(name), stat) is Errno.SUCCESS
        kind, size = struct.unpack("<16xB15xQ24x", wasi.guest.memory.read(stat, 64))
        return kind, size

    assert stat_of("a") == (REGULAR_FILE, 5)
    assert stat_of(".") == (DIRECTORY, 0)


def test_directories_are_made_renamed_and_removed() -> None:
    wasi = WasiGuest()
    assert wasi.call("path_create_directory", TMP_FD, *wasi.path("d")) is Errno.SUCCESS
    wasi.create("d/f", b"data")
    assert wasi.call("path_rename", TMP_FD, *wasi.path("d"), TMP_FD, *wasi.path("e")) is Errno.SUCCESS
    assert wasi.read(wasi.open("e/f"), 10) == (Errno.SUCCESS, b"data")
    assert wasi.call("path_remove_directory", TMP_FD, *wasi.path("e")) is Errno.NOTEMPTY
    assert wasi.call("path_unlink_file", TMP_FD, *wasi.path("e/f")) is Errno.SUCCESS
    assert wasi.call("path_remove_directory", TMP_FD, *wasi.path("e")) is Errno.SUCCESS


def entries_of(raw: bytes) -> list[tuple[int, str]]:
    """(next cookie, name) of each whole entry."""
    found = []
    while len(raw) >= 24:
        cookie, _, length, _ = struct.unpack_from("<QQIB", raw)
        if len(raw) < 24 + length:
            break
        found.append((cookie, raw[24 : 24 + length].decode()))
        raw = raw[24 + length :]
    return found


def test_readdir_pages_through_all_entries_once() -> None:
    wasi = WasiGuest()
    wanted = [f"file-{number:02}" for number in range(20)]
    for name in wanted:
        wasi.create(name)
    seen: list[str] = []
    cookie = 0
    while page := entries_of(wasi.readdir(TMP_FD, 100, cookie)):
        cookie, _ = page[-1]
        seen += [name for _, name in page]
    assert seen == wanted


def test_readdir_fills_the_buffer_with_a_cut_entry_when_more_follows() -> None:
    wasi = WasiGuest()
    for number in range(20):
        wasi.create(f"file-{number:02}")
    assert len(wasi.readdir(TMP_FD, 100, 0)) == 100
    assert len(wasi.readdir(TMP_FD, 4000, 0)) == 20 * (24 + 7)


def test_readdir_of_a_file_is_refused() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a")
    assert wasi.call("fd_readdir", fd, wasi.guest.reserve(100), 100, 0, wasi.guest.reserve(4)) is Errno.NOTDIR


def test_links_do_not_exist() -> None:
    wasi = WasiGuest()
    wasi.create("a")
    assert wasi.call("path_readlink", TMP_FD, *wasi.path("a"), 0, 0, 0) is Errno.INVAL
    assert wasi.call("path_readlink", TMP_FD, *wasi.path("absent"), 0, 0, 0) is Errno.NOENT
    assert wasi.call("path_symlink", *wasi.path("a"), TMP_FD, *wasi.path("b")) is Errno.NOSYS


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("path_open", (TMP_FD, 0, FAR, 5, 0, 0, 0, 0, 0)),
        ("fd_prestat_get", (TMP_FD, FAR)),
        ("fd_readdir", (TMP_FD, FAR, 100, 0, FAR)),
        ("path_filestat_get", (TMP_FD, 0, FAR, 3, 0)),
        ("fd_write", (1, FAR, 1, 0)),
    ],
)
def test_an_address_outside_the_memory_is_a_fault(name: str, arguments: tuple[int, ...]) -> None:
    assert WasiGuest().call(name, *arguments) is Errno.FAULT


def test_data_that_lies_outside_the_memory_is_a_fault_and_nothing_is_written() -> None:
    wasi = WasiGuest()
    fd = wasi.create("a")
    vectors = wasi.guest.place_iovecs((FAR, 10))
    assert wasi.call("fd_write", fd, vectors, 1, wasi.guest.reserve(4)) is Errno.FAULT
    assert wasi.call("fd_write", 1, vectors, 1, wasi.guest.reserve(4)) is Errno.FAULT
    assert wasi.seek(fd, 0, 2) == (Errno.SUCCESS, 0)
