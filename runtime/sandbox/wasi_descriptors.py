"""The WASI calls on open descriptors.

0-2 are stdin (empty), stdout and stderr (captured, capped). What is open at `DOOR` is the one way out to the host: a
write hands over a message and returns the length of the reply, a read fetches the reply.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from runtime.sandbox.descriptors import (
    CHARACTER_DEVICE,
    DIRECTORY,
    FDFLAG_APPEND,
    REGULAR_FILE,
    DescriptorTable,
    pack_filestat,
    pack_inode,
)
from runtime.sandbox.errno import Errno, WasiError
from runtime.sandbox.filesystem import File, FileSystem
from runtime.sandbox.linear_memory import U32, LinearMemory
from runtime.sandbox.output_capture import OutputCapture

STANDARD_STREAMS = (0, 1, 2)
ALL_RIGHTS = 0x1FFFFFFF
MAX_DOOR_MESSAGE = 64 << 20  # the largest honest answer has full outputs and events; the host holds it in its memory


class DescriptorCalls:
    """`door` answers a message of the guest."""

    def __init__(
        self,
        memory: LinearMemory,
        files: FileSystem,
        table: DescriptorTable,
        door: Callable[[bytes], bytes],
        output_cap: int,
    ) -> None:
        self._memory = memory
        self._files = files
        self._table = table
        self._door = door
        self._reply = b""
        self.stdout = OutputCapture(output_cap)
        self.stderr = OutputCapture(output_cap)

    def fd_write(self, fd: int, iovecs: int, count: int, result: int) -> int:
        if self._table.is_door(fd):
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
            descriptor = self._table.get(fd)
            file = descriptor.regular_file
            if descriptor.append:
                descriptor.position = len(file.data)
            written = self._write_file(file, descriptor.position, iovecs, count)
            descriptor.position += written
        self._memory.write_u32(result, written)
        return Errno.SUCCESS

    def fd_pwrite(self, fd: int, iovecs: int, count: int, offset: int, result: int) -> int:
        if offset < 0:
            return Errno.INVAL
        self._memory.write_u32(result, self._write_file(self._table.get(fd).regular_file, offset, iovecs, count))
        return Errno.SUCCESS

    def fd_read(self, fd: int, iovecs: int, count: int, result: int) -> int:
        if self._table.is_door(fd):
            reply, self._reply = self._reply, b""
            self._memory.write_u32(result, self._fill(reply, 0, iovecs, count))
            return Errno.SUCCESS
        if fd == 0:
            self._memory.write_u32(result, 0)
            return Errno.SUCCESS
        descriptor = self._table.get(fd)
        read = self._fill(descriptor.regular_file.data, descriptor.position, iovecs, count)
        descriptor.position += read
        self._memory.write_u32(result, read)
        return Errno.SUCCESS

    def fd_pread(self, fd: int, iovecs: int, count: int, offset: int, result: int) -> int:
        if offset < 0:
            return Errno.INVAL
        self._memory.write_u32(result, self._fill(self._table.get(fd).regular_file.data, offset, iovecs, count))
        return Errno.SUCCESS

    def fd_seek(self, fd: int, offset: int, whence: int, result: int) -> int:
        if fd in STANDARD_STREAMS:
            return Errno.SPIPE
        descriptor = self._table.get(fd)
        origins = (0, descriptor.position, len(descriptor.regular_file.data))
        if not 0 <= whence < len(origins) or origins[whence] + offset < 0:
            return Errno.INVAL
        descriptor.position = origins[whence] + offset
        self._memory.write_u64(result, descriptor.position)
        return Errno.SUCCESS

    def fd_tell(self, fd: int, result: int) -> int:
        return self.fd_seek(fd, 0, 1, result)

    def fd_close(self, fd: int) -> int:
        if fd not in STANDARD_STREAMS:
            self._table.close(fd)
        return Errno.SUCCESS

    def fd_renumber(self, source: int, target: int) -> int:
        self._table.renumber(source, target)
        return Errno.SUCCESS

    def fd_sync(self, _fd: int) -> int:
        return Errno.SUCCESS

    fd_datasync = fd_sync

    def fd_advise(self, _fd: int, _offset: int, _length: int, _advice: int) -> int:
        return Errno.SUCCESS

    def fd_allocate(self, fd: int, offset: int, length: int) -> int:
        file = self._table.get(fd).regular_file
        if offset < 0 or length <= 0:
            return Errno.INVAL
        if offset + length > len(file.data):
            self._files.resize(file, offset + length)
        return Errno.SUCCESS

    def fd_fdstat_get(self, fd: int, result: int) -> int:
        kind = CHARACTER_DEVICE
        flags = 0
        if fd not in STANDARD_STREAMS:
            descriptor = self._table.get(fd)
            kind = DIRECTORY if descriptor.file is None else REGULAR_FILE
            flags = FDFLAG_APPEND if descriptor.append else 0
        self._memory.write(result, struct.pack("<BxHxxxxQQ", kind, flags, ALL_RIGHTS, ALL_RIGHTS))
        return Errno.SUCCESS

    def fd_fdstat_set_flags(self, fd: int, flags: int) -> int:
        if fd not in STANDARD_STREAMS:
            self._table.get(fd).append = bool(flags & FDFLAG_APPEND)
        return Errno.SUCCESS

    def fd_fdstat_set_rights(self, _fd: int, _base: int, _inheriting: int) -> int:
        return Errno.SUCCESS

    def fd_filestat_get(self, fd: int, result: int) -> int:
        if fd in STANDARD_STREAMS:
            packed = pack_inode(fd, CHARACTER_DEVICE, 0)
        else:
            descriptor = self._table.get(fd)
            packed = pack_filestat(self._files, descriptor.path, descriptor.file)
        self._memory.write(result, packed)
        return Errno.SUCCESS

    def fd_filestat_set_size(self, fd: int, size: int) -> int:
        if size < 0:
            return Errno.INVAL
        self._files.resize(self._table.get(fd).regular_file, size)
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
        descriptor = self._table.get(fd)
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

    def _mount(self, fd: int) -> bytes:
        descriptor = self._table.get(fd)
        if not descriptor.is_mount:
            raise WasiError(Errno.BADF)
        return descriptor.path.encode()

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
