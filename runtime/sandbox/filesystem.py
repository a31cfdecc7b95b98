"""The guest's files: a tree in memory, nothing of the host's.

`wasi.Preview1` translates WASI calls into these operations. Files that came with the guest image are `memoryview`s and
read-only; what guest code writes are `bytearray`s below a writable mount, together at most `capacity` bytes. As
everything is process memory, files are forked and rolled back with the rest of a session.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.sandbox.errno import Errno, WasiError

MAX_ENTRIES = 10_000  # that a guest may make
EPOCH_1980_NS = 315_532_800 * 10**9  # of what has no time of its own; zip archives know no earlier one


@dataclass(slots=True)
class File:
    inode: int
    data: memoryview | bytearray  # a memoryview belongs to the image and is read-only
    descriptors: int = 0  # open ones; an unlinked file counts against the capacity until the last is closed
    linked: bool = True
    modified_ns: int = EPOCH_1980_NS


class FileSystem:
    """Absolute, normalised POSIX paths. `mounts` are the directories a guest is given; those in `writable` may
    change."""

    def __init__(
        self, mounts: list[str], writable: frozenset[str], files: Mapping[str, memoryview], capacity: int = 64 << 20
    ) -> None:
        self.mounts = mounts
        self._writable = writable
        self._capacity = capacity
        self._used = 0
        self._inode = 0
        self._directories: dict[str, int] = {}
        self._files: dict[str, File] = {}
        for mount in mounts:
            self._directories[mount] = self._next_inode()
        for path, data in files.items():
            self._add_parents(path)
            self._files[path] = File(self._next_inode(), data)
        self._most_entries = MAX_ENTRIES + len(self._files) + len(self._directories)

    def file(self, path: str) -> File | None:
        return self._files.get(path)

    def directory_inode(self, path: str) -> int | None:
        return self._directories.get(path)

    def create(self, path: str) -> File:
        """A new empty file."""
        self._check_new(path)
        self._files[path] = file = File(self._next_inode(), bytearray(), modified_ns=time.time_ns())
        return file

    def write(self, file: File, position: int, data: bytes) -> None:
        """Write at `position`, filling a gap with zeros."""
        end = position + len(data)
        if end > len(file.data):
            self.resize(file, end)
        self._bytearray(file)[position:end] = data
        file.modified_ns = time.time_ns()

    def resize(self, file: File, length: int) -> None:
        content = self._bytearray(file)
        growth = length - len(content)
        if growth > 0:
            if self._used + growth > self._capacity:
                raise WasiError(Errno.NOSPC)
            content.extend(bytes(growth))
        else:
            del content[length:]
        self._used += growth
        file.modified_ns = time.time_ns()

    def make_directory(self, path: str) -> None:
        self._check_new(path)
        self._directories[path] = self._next_inode()

    def unlink(self, path: str) -> None:
        if path in self._directories:
            raise WasiError(Errno.ISDIR)
        file = self._files.get(path)
        if file is None:
            raise WasiError(Errno.NOENT)
        self._bytearray(file)
        del self._files[path]
        file.linked = False
        self.release(file)

    def release(self, file: File) -> None:
        """Give the space of `file` back if no name and no descriptor is left of it."""
        if not file.linked and file.descriptors == 0:
            self.resize(file, 0)

    def remove_directory(self, path: str) -> None:
        if path in self._files:
            raise WasiError(Errno.NOTDIR)
        if path not in self._directories:
            raise WasiError(Errno.NOENT)
        self._check_writable(path)
        if path in self.mounts:
            raise WasiError(Errno.BUSY)
        if self.entries(path):
            raise WasiError(Errno.NOTEMPTY)
        del self._directories[path]

    def rename(self, old: str, new: str) -> None:
        """Move a file or a directory with all below it; an existing file is replaced."""
        self._check_writable(old)
        self._check_writable(new)
        if old == new:
            return
        if old in self._files:
            if new in self._directories:
                raise WasiError(Errno.ISDIR)
            if new in self._files:
                self.unlink(new)
            self._check_parent(new)
            self._files[new] = self._files.pop(old)
        elif old in self._directories:
            if new in self._files:
                raise WasiError(Errno.NOTDIR)
            if new.startswith(old + "/"):
                raise WasiError(Errno.INVAL)
            if new in self._directories:
                self.remove_directory(new)
            self._check_parent(new)
            self._directories = {_moved(path, old, new): inode for path, inode in self._directories.items()}
            self._files = {_moved(path, old, new): file for path, file in self._files.items()}
        else:
            raise WasiError(Errno.NOENT)

    def entries(self, directory: str) -> list[tuple[str, int, bool]]:
        """(name, inode, is a directory) of each entry, sorted by name."""
        found = [(path, inode, True) for path, inode in self._directories.items()]
        found += [(path, file.inode, False) for path, file in self._files.items()]
        below = [(path, inode, is_dir) for path, inode, is_dir in found if posixpath.dirname(path) == directory]
        return sorted((posixpath.basename(path), inode, is_dir) for path, inode, is_dir in below if path != directory)

    def _check_new(self, path: str) -> None:
        if path in self._files or path in self._directories:
            raise WasiError(Errno.EXIST)
        self._check_writable(path)
        self._check_parent(path)
        if len(self._files) + len(self._directories) >= self._most_entries:
            raise WasiError(Errno.NOSPC)

    def _check_writable(self, path: str) -> None:
        if not any(path == mount or path.startswith(mount + "/") for mount in self._writable):
            raise WasiError(Errno.ROFS)

    def _check_parent(self, path: str) -> None:
        parent = posixpath.dirname(path)
        if parent in self._files:
            raise WasiError(Errno.NOTDIR)
        if parent not in self._directories:
            raise WasiError(Errno.NOENT)

    def _bytearray(self, file: File) -> bytearray:
        if isinstance(file.data, memoryview):
            raise WasiError(Errno.ROFS)
        return file.data

    def _add_parents(self, path: str) -> None:
        parent = posixpath.dirname(path)
        if parent not in self._directories and parent != "/":
            self._add_parents(parent)
            self._directories[parent] = self._next_inode()

    def _next_inode(self) -> int:
        self._inode += 1
        return self._inode


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if path == old or path.startswith(old + "/") else path
