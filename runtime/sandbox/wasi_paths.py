"""The WASI calls on paths: each is relative to an open directory and never leaves the mounts; there are no links."""

from __future__ import annotations

import posixpath

from runtime.sandbox.descriptors import FDFLAG_APPEND, Descriptor, DescriptorTable, pack_filestat
from runtime.sandbox.errno import Errno, WasiError
from runtime.sandbox.filesystem import File, FileSystem
from runtime.sandbox.linear_memory import U32, LinearMemory

MAX_PATH = 4096  # bytes, as on Linux: names are in the host's memory, which the guest's limit does not cover
OFLAG_CREATE, OFLAG_DIRECTORY, OFLAG_EXCLUSIVE, OFLAG_TRUNCATE = 1, 2, 4, 8


class PathCalls:
    def __init__(self, memory: LinearMemory, files: FileSystem, table: DescriptorTable) -> None:
        self._memory = memory
        self._files = files
        self._table = table

    def path_open(
        self,
        fd: int,
        _lookup: int,
        path: int,
        length: int,
        oflags: int,
        _base: int,
        _inheriting: int,
        fdflags: int,
        result: int,
    ) -> int:
        absolute = self._path(fd, path, length)
        number = self._table.free_number()
        descriptor = Descriptor(absolute, append=bool(fdflags & FDFLAG_APPEND))
        if self._files.directory_inode(absolute) is None:
            descriptor.file = self._open_file(absolute, self._files.file(absolute), oflags)
        self._table.add(number, descriptor)
        self._memory.write_u32(result, number)
        return Errno.SUCCESS

    def _open_file(self, path: str, file: File | None, oflags: int) -> File:
        if oflags & OFLAG_DIRECTORY:
            raise WasiError(Errno.NOENT if file is None else Errno.NOTDIR)
        if file is None:
            if not oflags & OFLAG_CREATE:
                raise WasiError(Errno.NOENT)
            return self._files.create(path)
        if oflags & OFLAG_EXCLUSIVE and oflags & OFLAG_CREATE:
            raise WasiError(Errno.EXIST)
        if oflags & OFLAG_TRUNCATE:
            self._files.resize(file, 0)
        return file

    def path_filestat_get(self, fd: int, _flags: int, path: int, length: int, result: int) -> int:
        absolute = self._path(fd, path, length)
        self._memory.write(result, pack_filestat(self._files, absolute, self._files.file(absolute)))
        return Errno.SUCCESS

    def path_filestat_set_times(
        self, _fd: int, _flags: int, _path: int, _length: int, _atime: int, _mtime: int, _fst: int
    ) -> int:
        return Errno.SUCCESS

    def path_create_directory(self, fd: int, path: int, length: int) -> int:
        self._files.make_directory(self._path(fd, path, length))
        return Errno.SUCCESS

    def path_remove_directory(self, fd: int, path: int, length: int) -> int:
        self._files.remove_directory(self._path(fd, path, length))
        return Errno.SUCCESS

    def path_unlink_file(self, fd: int, path: int, length: int) -> int:
        self._files.unlink(self._path(fd, path, length))
        return Errno.SUCCESS

    def path_rename(self, fd: int, old: int, old_length: int, new_fd: int, new: int, new_length: int) -> int:
        self._files.rename(self._path(fd, old, old_length), self._path(new_fd, new, new_length))
        return Errno.SUCCESS

    def path_readlink(self, fd: int, path: int, length: int, _buffer: int, _buffer_length: int, _result: int) -> int:
        """There are no links: EINVAL for what exists, as readlink(2) says."""
        absolute = self._path(fd, path, length)
        known = self._files.file(absolute) is not None or self._files.directory_inode(absolute) is not None
        return Errno.INVAL if known else Errno.NOENT

    def _path(self, fd: int, path: int, length: int) -> str:
        """The absolute path of a name relative to a directory descriptor; never above its mount."""
        directory = self._table.get(fd)
        if directory.file is not None:
            raise WasiError(Errno.NOTDIR)
        name = self._memory.read(path, min(length & U32, MAX_PATH + 1)).decode("utf-8", "surrogateescape")
        absolute = posixpath.normpath(posixpath.join(directory.path, name))
        if length & U32 > MAX_PATH or len(absolute) > MAX_PATH:
            raise WasiError(Errno.NAMETOOLONG)
        if not any(absolute == mount or absolute.startswith(mount + "/") for mount in self._files.mounts):
            raise WasiError(Errno.NOTCAPABLE)
        return absolute
