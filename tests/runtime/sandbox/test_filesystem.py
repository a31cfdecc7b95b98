"""The guest's files: names, limits and what may change, without any WASI encoding."""

from __future__ import annotations

import pytest

from runtime.sandbox.errno import Errno, WasiError
from runtime.sandbox.filesystem import MAX_ENTRIES, FileSystem

IMAGE_FILE = "/usr/lib/stdlib.zip"


def build(capacity: int = 1000) -> FileSystem:
    return FileSystem(["/tmp", "/usr/lib"], frozenset({"/tmp"}), {IMAGE_FILE: memoryview(b"image")}, capacity)


def refused(errno: Errno) -> pytest.RaisesExc[WasiError]:
    return pytest.RaisesExc(WasiError, check=lambda error: error.errno is errno)


def test_written_bytes_are_read_back_and_a_gap_is_filled_with_zeros() -> None:
    files = build()
    file = files.create("/tmp/a")
    files.write(file, 3, b"xyz")
    assert bytes(file.data) == b"\0\0\0xyz"
    files.write(file, 1, b"12")
    assert bytes(file.data) == b"\x0012xyz"


def test_resize_shorter_gives_the_space_back() -> None:
    files = build(capacity=10)
    file = files.create("/tmp/a")
    files.resize(file, 10)
    with pytest.raises(WasiError) as full:
        files.write(file, 10, b"x")
    assert full.value.errno is Errno.NOSPC
    files.resize(file, 4)
    files.write(file, 4, b"123456")
    assert len(file.data) == 10


def test_files_together_stay_within_the_capacity() -> None:
    files = build(capacity=10)
    files.write(files.create("/tmp/a"), 0, b"x" * 6)
    with refused(Errno.NOSPC):
        files.write(files.create("/tmp/b"), 0, b"x" * 5)


def test_an_unlinked_file_counts_until_its_last_descriptor_is_closed() -> None:
    files = build(capacity=10)
    file = files.create("/tmp/a")
    file.descriptors = 1
    files.write(file, 0, b"x" * 10)
    files.unlink("/tmp/a")
    with refused(Errno.NOSPC):
        files.write(files.create("/tmp/b"), 0, b"x")
    file.descriptors = 0
    files.release(file)
    files.write(files.create("/tmp/c"), 0, b"x" * 10)


def test_a_file_replaced_by_rename_gives_its_space_back() -> None:
    files = build(capacity=10)
    files.write(files.create("/tmp/a"), 0, b"a" * 5)
    files.write(files.create("/tmp/b"), 0, b"b" * 5)
    files.rename("/tmp/a", "/tmp/b")
    kept = files.file("/tmp/b")
    assert kept is not None
    assert bytes(kept.data) == b"aaaaa"
    files.write(kept, 5, b"12345")


def test_files_of_the_image_cannot_be_written_resized_unlinked_or_renamed() -> None:
    files = build()
    file = files.file(IMAGE_FILE)
    assert file is not None
    with refused(Errno.ROFS):
        files.write(file, 0, b"x")
    with refused(Errno.ROFS):
        files.resize(file, 0)
    with refused(Errno.ROFS):
        files.unlink(IMAGE_FILE)
    with refused(Errno.ROFS):
        files.rename(IMAGE_FILE, "/tmp/a")
    assert bytes(file.data) == b"image"


def test_nothing_is_created_outside_the_writable_mount() -> None:
    files = build()
    for path in ("/usr/lib/new", "/etc", "/new"):
        with refused(Errno.ROFS):
            files.create(path)
        with refused(Errno.ROFS):
            files.make_directory(path)


def test_a_new_name_needs_a_directory_that_exists() -> None:
    files = build()
    files.create("/tmp/file")
    with refused(Errno.NOENT):
        files.create("/tmp/absent/a")
    with refused(Errno.NOTDIR):
        files.create("/tmp/file/a")
    with refused(Errno.EXIST):
        files.create("/tmp/file")


def test_only_an_empty_directory_is_removed_and_never_a_mount() -> None:
    files = build()
    files.make_directory("/tmp/d")
    files.create("/tmp/d/a")
    with refused(Errno.NOTEMPTY):
        files.remove_directory("/tmp/d")
    files.unlink("/tmp/d/a")
    files.remove_directory("/tmp/d")
    assert files.directory_inode("/tmp/d") is None
    with refused(Errno.BUSY):
        files.remove_directory("/tmp")
    with refused(Errno.NOENT):
        files.remove_directory("/tmp/absent")


def test_unlink_tells_directory_from_absent() -> None:
    files = build()
    files.make_directory("/tmp/d")
    with refused(Errno.ISDIR):
        files.unlink("/tmp/d")
    with refused(Errno.NOENT):
        files.unlink("/tmp/absent")


def test_renaming_a_directory_moves_what_is_below_and_nothing_else() -> None:
    files = build()
    for directory in ("/tmp/a", "/tmp/a/b", "/tmp/ab"):
        files.make_directory(directory)
    files.create("/tmp/a/b/f")
    files.create("/tmp/ab/g")
    files.rename("/tmp/a", "/tmp/z")
    assert files.file("/tmp/z/b/f") is not None
    assert files.file("/tmp/ab/g") is not None
    assert files.directory_inode("/tmp/a") is None


@pytest.mark.parametrize(
    ("old", "new", "errno"),
    [
        ("/tmp/d", "/tmp/d/inside", Errno.INVAL),
        ("/tmp/d", "/tmp/f", Errno.NOTDIR),
        ("/tmp/f", "/tmp/d", Errno.ISDIR),
        ("/tmp/absent", "/tmp/x", Errno.NOENT),
        ("/tmp/f", "/tmp/absent/x", Errno.NOENT),
        ("/tmp/f", "/usr/lib/x", Errno.ROFS),
    ],
)
def test_impossible_renames_are_refused(old: str, new: str, errno: Errno) -> None:
    files = build()
    files.make_directory("/tmp/d")
    files.create("/tmp/f")
    with refused(errno):
        files.rename(old, new)
    assert files.file("/tmp/f") is not None


def test_entries_are_sorted_and_only_of_that_directory() -> None:
    files = build()
    files.make_directory("/tmp/d")
    files.create("/tmp/b")
    files.create("/tmp/d/deep")
    assert [(name, is_dir) for name, _, is_dir in files.entries("/tmp")] == [("b", False), ("d", True)]


def test_the_number_of_entries_is_bounded() -> None:
    files = build()
    with refused(Errno.NOSPC):
        for number in range(MAX_ENTRIES + 1):
            files.create(f"/tmp/{number}")


def test_the_files_of_a_large_image_leave_a_guest_as_much_room_as_those_of_a_small_one() -> None:
    files = FileSystem(
        ["/tmp", "/lib"], frozenset({"/tmp"}), {f"/lib/{n}": memoryview(b"") for n in range(MAX_ENTRIES)}
    )
    files.create("/tmp/own")
    assert files.file("/tmp/own") is not None
