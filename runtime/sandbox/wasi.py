"""WASI preview 1 for guests that are forked: in-memory files, fresh randomness, no threads, no host descriptors.

wasmtime's own WASI is wrong under fork: its random generator repeats in every child, its sleep hangs and its writes
start threads. This one keeps nothing but Python objects. `functions()` is what `engine` links; each returns an errno.

Formats: wasi_snapshot_preview1.witx. Descriptors 0-2 are stdin (empty), stdout and stderr (captured, capped); `DOOR`
is the one way out to the host: a write hands over a message and returns the length of the reply, a read fetches the
reply.
"""

from __future__ import annotations

import os
import posixpath
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from runtime.sandbox.errno import Errno, WasiError
from runtime.sandbox.filesystem import File, FileSystem
from runtime.sandbox.linear_memory import U32, LinearMemory, OutOfBoundsError
from runtime.sandbox.output_capture import OutputCapture
from runtime.sandbox.wasi_signatures import SIGNATURES

DOOR = "/host/door"
FIRST_DESCRIPTOR = 3
MAX_DESCRIPTORS = 256

CHARACTER_DEVICE, DIRECTORY, REGULAR_FILE = 2, 3, 4
ALL_RIGHTS = 0x1FFFFFFF
OFLAG_CREATE, OFLAG_DIRECTORY, OFLAG_EXCLUSIVE, OFLAG_TRUNCATE = 1, 2, 4, 8
FDFLAG_APPEND = 1
CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
CLOCK_RESOLUTION_NS = 1000
SUBSCRIPTION_SIZE, EVENT_SIZE = 48, 32
LONGEST_SLEEP = 3600.0
MAX_DOOR_MESSAGE = 64 << 20  # the largest honest answer has full outputs and events; the host holds it in its memory

WasiFunction = Callable[..., int]


@dataclass(slots=True)
class Descriptor:
    """An open file or directory; `file` is None for a directory."""

    path: str
    file: File | None = None
    position: int = 0
    append: bool = False
    is_mount: bool = False


class Preview1:
    """The state behind one guest's WASI imports.

    `door` answers a message; `on_exit` is called for proc_exit and must not return.
    """

    def __init__(
        self,
        memory: LinearMemory,
        files: FileSystem,
        arguments: list[str],
        environment: dict[str, str],
        door: Callable[[bytes], bytes],
        on_exit: Callable[[int], None],
        output_cap: int,
    ) -> None:
        self._memory = memory
        self._files = files
        self._arguments = [argument.encode() + b"\0" for argument in arguments]
        self._environment = [f"{name}={value}".encode() + b"\0" for name, value in environment.items()]
        self._door = door
        self._on_exit = on_exit
        self._reply = b""
        self.stdout = OutputCapture(output_cap)
        self.stderr = OutputCapture(output_cap)
        self._open: dict[int, Descriptor] = {
            FIRST_DESCRIPTOR + index: Descriptor(mount, is_mount=True) for index, mount in enumerate(files.mounts)
        }

    def functions(self) -> dict[str, tuple[str, WasiFunction]]:
        """Name -> (parameter types, function); `i` is i32, `I` is i64. Unknown calls answer NOSYS."""
        return {name: (types, self._guarded(getattr(self, name, _not_supported))) for name, types in SIGNATURES.items()}

    def _guarded(self, function: WasiFunction) -> WasiFunction:
        """Errors become errno: an exception in a host function would trap the guest."""

        def guarded(*arguments: int) -> int:
            try:
                return function(*arguments)
            except WasiError as error:
                return error.errno
            except OutOfBoundsError:
                return Errno.FAULT

        return guarded

    # --- process -----------------------------------------------------------------------------------------------------

    def args_get(self, pointers: int, buffer: int) -> int:
        return self._write_strings(self._arguments, pointers, buffer)

    def args_sizes_get(self, count: int, size: int) -> int:
        return self._write_sizes(self._arguments, count, size)

    def environ_get(self, pointers: int, buffer: int) -> int:
        return self._write_strings(self._environment, pointers, buffer)

    def environ_sizes_get(self, count: int, size: int) -> int:
        return self._write_sizes(self._environment, count, size)

    def proc_exit(self, code: int) -> None:
        self._on_exit(code)

    def sched_yield(self) -> int:
        return Errno.SUCCESS

    def random_get(self, buffer: int, length: int) -> int:
        view = self._memory.view(buffer, length)
        for start in range(0, len(view), 1 << 20):
            part = view[start : start + (1 << 20)]
            part[:] = os.urandom(len(part))
        return Errno.SUCCESS

    def _write_strings(self, strings: list[bytes], pointers: int, buffer: int) -> int:
        for string in strings:
            self._memory.write_u32(pointers, buffer)
            self._memory.write(buffer, string)
            pointers += 4
            buffer += len(string)
        return Errno.SUCCESS

    def _write_sizes(self, strings: list[bytes], count: int, size: int) -> int:
        self._memory.write_u32(count, len(strings))
        self._memory.write_u32(size, sum(map(len, strings)))
        return Errno.SUCCESS

    # --- time --------------------------------------------------------------------------------------------------------

    def clock_res_get(self, _clock: int, result: int) -> int:
        self._memory.write_u64(result, CLOCK_RESOLUTION_NS)
        return Errno.SUCCESS

    def clock_time_get(self, clock: int, _precision: int, result: int) -> int:
        self._memory.write_u64(result, _now_ns(clock))
        return Errno.SUCCESS

    def poll_oneoff(self, subscriptions: int, events: int, count: int, result: int) -> int:
        """Sleeps for the nearest clock; descriptors are always ready."""
        ready: list[bytes] = []
        nearest: tuple[int, int] | None = None
        for index in range(count & U32):
            raw = self._memory.read(subscriptions + SUBSCRIPTION_SIZE * index, SUBSCRIPTION_SIZE)
            userdata, tag = struct.unpack_from("<QB", raw)
            if tag != 0:
                ready.append(struct.pack("<QHB5xQH6x", userdata, 0, tag, 1, 0))
                continue
            clock, timeout, _precision, flags = struct.unpack_from("<I4xQQH", raw, 16)
            wait_ns = max(timeout - _now_ns(clock), 0) if flags & 1 else timeout
            if nearest is None or wait_ns < nearest[0]:
                nearest = (wait_ns, userdata)
        if not ready:
            if nearest is None:
                return Errno.INVAL
            time.sleep(min(nearest[0] / 1e9, LONGEST_SLEEP))
            ready.append(struct.pack("<QHB5xQH6x", nearest[1], 0, 0, 0, 0))
        for index, event in enumerate(ready):
            self._memory.write(events + EVENT_SIZE * index, event)
        self._memory.write_u32(result, len(ready))
        return Errno.SUCCESS

    # --- descriptors -------------------------------------------------------------------------------------------------

    def fd_write(self, fd: int, iovecs: int, count: int, result: int) -> int:
        if self._is_door(fd):
            parts = self._memory.iovecs(iovecs, count)
            if sum(length for _, length in parts) > MAX_DOOR_MESSAGE:
                return Errno.FBIG
            message = b"".join(self._memory.read(address, length) for address, length in parts)
            self._reply = self._door(message)
            self._memory.write_u32(result, len(self._reply))
            return Errno.SUCCESS
        if fd in (1, 2):
            written = self._capture(self.stdout if fd == 1 else self.stderr, iovecs, count)
        else:
            descriptor = self._file(fd)
            file = _file_of(descriptor)
            if descriptor.append:
                descriptor.position = len(file.data)
            written = self._write_file(file, descriptor.position, iovecs, count)
            descriptor.position += written
        self._memory.write_u32(result, written)
        return Errno.SUCCESS

    def fd_pwrite(self, fd: int, iovecs: int, count: int, offset: int, result: int) -> int:
        if offset < 0:
            return Errno.INVAL
        self._memory.write_u32(result, self._write_file(_file_of(self._file(fd)), offset, iovecs, count))
        return Errno.SUCCESS

    def fd_read(self, fd: int, iovecs: int, count: int, result: int) -> int:
        if self._is_door(fd):
            reply, self._reply = self._reply, b""
            self._memory.write_u32(result, self._fill(reply, 0, iovecs, count))
            return Errno.SUCCESS
        if fd == 0:
            self._memory.write_u32(result, 0)
            return Errno.SUCCESS
        descriptor = self._file(fd)
        read = self._fill(_file_of(descriptor).data, descriptor.position, iovecs, count)
        descriptor.position += read
        self._memory.write_u32(result, read)
        return Errno.SUCCESS

    def fd_pread(self, fd: int, iovecs: int, count: int, offset: int, result: int) -> int:
        if offset < 0:
            return Errno.INVAL
        self._memory.write_u32(result, self._fill(_file_of(self._file(fd)).data, offset, iovecs, count))
        return Errno.SUCCESS

    def fd_seek(self, fd: int, offset: int, whence: int, result: int) -> int:
        if fd in (0, 1, 2):
            return Errno.SPIPE
        descriptor = self._file(fd)
        origins = (0, descriptor.position, len(_file_of(descriptor).data))
        if not 0 <= whence < len(origins) or origins[whence] + offset < 0:
            return Errno.INVAL
        descriptor.position = origins[whence] + offset
        self._memory.write_u64(result, descriptor.position)
        return Errno.SUCCESS

    def fd_tell(self, fd: int, result: int) -> int:
        return self.fd_seek(fd, 0, 1, result)

    def fd_close(self, fd: int) -> int:
        if fd in (0, 1, 2):
            return Errno.SUCCESS
        descriptor = self._file(fd)
        if not descriptor.is_mount:
            del self._open[fd]
            self._release(descriptor)
        return Errno.SUCCESS

    def fd_renumber(self, source: int, target: int) -> int:
        descriptor, replaced = self._file(source), self._file(target)
        if descriptor.is_mount or replaced.is_mount:
            return Errno.NOTSUP
        if replaced is not descriptor:
            self._open[target] = self._open.pop(source)
            self._release(replaced)
        return Errno.SUCCESS

    def fd_sync(self, _fd: int) -> int:
        return Errno.SUCCESS

    fd_datasync = fd_sync

    def fd_advise(self, _fd: int, _offset: int, _length: int, _advice: int) -> int:
        return Errno.SUCCESS

    def fd_allocate(self, fd: int, offset: int, length: int) -> int:
        file = _file_of(self._file(fd))
        if offset < 0 or length <= 0:
            return Errno.INVAL
        if offset + length > len(file.data):
            self._files.resize(file, offset + length)
        return Errno.SUCCESS

    def fd_fdstat_get(self, fd: int, result: int) -> int:
        kind = CHARACTER_DEVICE
        flags = 0
        if fd not in (0, 1, 2):
            descriptor = self._file(fd)
            kind = DIRECTORY if descriptor.file is None else REGULAR_FILE
            flags = FDFLAG_APPEND if descriptor.append else 0
        self._memory.write(result, struct.pack("<BxHxxxxQQ", kind, flags, ALL_RIGHTS, ALL_RIGHTS))
        return Errno.SUCCESS

    def fd_fdstat_set_flags(self, fd: int, flags: int) -> int:
        if fd not in (0, 1, 2):
            self._file(fd).append = bool(flags & FDFLAG_APPEND)
        return Errno.SUCCESS

    def fd_fdstat_set_rights(self, _fd: int, _base: int, _inheriting: int) -> int:
        return Errno.SUCCESS

    def fd_filestat_get(self, fd: int, result: int) -> int:
        if fd in (0, 1, 2):
            return self._write_filestat(result, fd, CHARACTER_DEVICE, 0)
        return self._write_path_stat(result, self._file(fd).path, self._file(fd).file)

    def fd_filestat_set_size(self, fd: int, size: int) -> int:
        if size < 0:
            return Errno.INVAL
        self._files.resize(_file_of(self._file(fd)), size)
        return Errno.SUCCESS

    def fd_filestat_set_times(self, _fd: int, _atime: int, _mtime: int, _flags: int) -> int:
        return Errno.SUCCESS

    def fd_prestat_get(self, fd: int, result: int) -> int:
        self._memory.write_u32(result, 0)
        self._memory.write_u32(result + 4, len(self._mount(fd)))
        return Errno.SUCCESS

    def fd_prestat_dir_name(self, fd: int, path: int, length: int) -> int:
        self._memory.write(path, self._mount(fd)[: length & U32])
        return Errno.SUCCESS

    def fd_readdir(self, fd: int, buffer: int, length: int, cookie: int, result: int) -> int:
        descriptor = self._file(fd)
        if descriptor.file is not None:
            return Errno.NOTDIR
        packed = bytearray()
        for index, (name, inode, is_dir) in enumerate(self._files.entries(descriptor.path)):
            if index < cookie:
                continue
            encoded = name.encode("utf-8", "surrogateescape")
            packed += struct.pack("<QQIB3x", index + 1, inode, len(encoded), DIRECTORY if is_dir else REGULAR_FILE)
            packed += encoded
            if len(packed) >= length & U32:
                break
        del packed[length & U32 :]
        self._memory.write(buffer, packed)
        self._memory.write_u32(result, len(packed))
        return Errno.SUCCESS

    # --- paths -------------------------------------------------------------------------------------------------------

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
        number = next(n for n in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + MAX_DESCRIPTORS + 1) if n not in self._open)
        if number == FIRST_DESCRIPTOR + MAX_DESCRIPTORS:
            return Errno.MFILE
        descriptor = Descriptor(absolute, append=bool(fdflags & FDFLAG_APPEND))
        if self._files.directory_inode(absolute) is None:
            descriptor.file = self._open_file(absolute, self._files.file(absolute), oflags)
            descriptor.file.descriptors += 1
        self._open[number] = descriptor
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
        return self._write_path_stat(result, absolute, self._files.file(absolute))

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

    def _is_door(self, fd: int) -> bool:
        descriptor = self._open.get(fd)
        return descriptor is not None and descriptor.path == DOOR

    # --- parts -------------------------------------------------------------------------------------------------------

    def _file(self, fd: int) -> Descriptor:
        descriptor = self._open.get(fd)
        if descriptor is None:
            raise WasiError(Errno.BADF)
        return descriptor

    def _release(self, descriptor: Descriptor) -> None:
        if descriptor.file is not None:
            descriptor.file.descriptors -= 1
            self._files.release(descriptor.file)

    def _mount(self, fd: int) -> bytes:
        descriptor = self._file(fd)
        if not descriptor.is_mount:
            raise WasiError(Errno.BADF)
        return descriptor.path.encode()

    def _path(self, fd: int, path: int, length: int) -> str:
        """The absolute path of a name relative to a directory descriptor; never above its mount."""
        directory = self._file(fd)
        if directory.file is not None:
            raise WasiError(Errno.NOTDIR)
        name = self._memory.read(path, length).decode("utf-8", "surrogateescape")
        absolute = posixpath.normpath(posixpath.join(directory.path, name))
        if not any(absolute == mount or absolute.startswith(mount + "/") for mount in self._files.mounts):
            raise WasiError(Errno.NOTCAPABLE)
        return absolute

    def _capture(self, capture: OutputCapture, iovecs: int, count: int) -> int:
        written = 0
        for address, length in self._memory.iovecs(iovecs, count):
            written += length
            room = capture.room()
            if room > 0:
                capture.add(self._memory.read(address, min(length, room)))
            if length > room:
                capture.truncated = True
        return written

    def _write_file(self, file: File, position: int, iovecs: int, count: int) -> int:
        written = 0
        for address, length in self._memory.iovecs(iovecs, count):
            self._files.write(file, position + written, self._memory.read(address, length))
            written += length
        return written

    def _fill(self, data: bytes | bytearray | memoryview, position: int, iovecs: int, count: int) -> int:
        read = 0
        for address, length in self._memory.iovecs(iovecs, count):
            part = data[position + read : position + read + length]
            self._memory.write(address, part)
            read += len(part)
            if len(part) < length:
                break
        return read

    def _write_path_stat(self, result: int, path: str, file: File | None) -> int:
        if file is not None:
            return self._write_filestat(result, file.inode, REGULAR_FILE, len(file.data))
        inode = self._files.directory_inode(path)
        if inode is None:
            return Errno.NOENT
        return self._write_filestat(result, inode, DIRECTORY, 0)

    def _write_filestat(self, result: int, inode: int, kind: int, size: int) -> int:
        self._memory.write(result, struct.pack("<QQB7xQQQQQ", 1, inode, kind, 1, size, 0, 0, 0))
        return Errno.SUCCESS


def _not_supported(*_: int) -> int:
    """Sockets, links, signals: not here."""
    return Errno.NOSYS


def _file_of(descriptor: Descriptor) -> File:
    if descriptor.file is None:
        raise WasiError(Errno.ISDIR)
    return descriptor.file


def _now_ns(clock: int) -> int:
    if clock == CLOCK_REALTIME:
        return time.time_ns()
    return time.monotonic_ns() if clock == CLOCK_MONOTONIC else time.process_time_ns()
