"""Preview1 driven as a guest would, through addresses in a linear memory, but without a guest."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from runtime.sandbox.descriptors import DOOR
from runtime.sandbox.errno import Errno
from runtime.sandbox.filesystem import FileSystem
from runtime.sandbox.wasi import Preview1
from runtime.sandbox.wasi_paths import OFLAG_CREATE
from tests.runtime.sandbox.guest_memory import GuestMemory

TMP_FD = 3
LIB_FD = 4
HOST_FD = 5
IMAGE_FILE = "/usr/lib/stdlib.zip"


@dataclass
class WasiGuest:
    """`call` names a WASI function; the helpers below it place arguments and read results."""

    guest: GuestMemory = field(default_factory=GuestMemory)
    doors: list[bytes] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    door_reply: bytes = b"reply"
    output_cap: int = 16
    environment: dict[str, str] = field(default_factory=lambda: {"HOME": "/tmp"})

    def __post_init__(self) -> None:
        files = {IMAGE_FILE: memoryview(b"image"), DOOR: memoryview(b"")}
        self.wasi = Preview1(
            memory=self.guest.memory,
            files=FileSystem(["/tmp", "/usr/lib", "/host"], frozenset({"/tmp"}), files, capacity=1 << 16),
            arguments=["python", "-c"],
            environment=self.environment,
            door=self._door,
            on_exit=self.exits.append,
            output_cap=self.output_cap,
        )
        self._functions = self.wasi.functions()

    def _door(self, message: bytes) -> bytes:
        self.doors.append(message)
        return self.door_reply

    def call(self, name: str, *arguments: int) -> Errno:
        return Errno(self._functions[name][1](*arguments))

    def path(self, text: str) -> tuple[int, int]:
        data = text.encode()
        return self.guest.place(data), len(data)

    def open(self, name: str, oflags: int = 0, fdflags: int = 0, fd: int = TMP_FD) -> int:
        """A new descriptor; AssertionError with the errno if it is refused."""
        errno, opened = self.try_open(name, oflags, fdflags, fd)
        assert errno is Errno.SUCCESS, errno
        return opened

    def try_open(self, name: str, oflags: int = 0, fdflags: int = 0, fd: int = TMP_FD) -> tuple[Errno, int]:
        result = self.guest.reserve(4)
        errno = self.call("path_open", fd, 0, *self.path(name), oflags, -1, -1, fdflags, result)
        return errno, self.guest.u32(result)

    def create(self, name: str, data: bytes = b"") -> int:
        fd = self.open(name, OFLAG_CREATE)
        if data:
            assert self.write(fd, data) == (Errno.SUCCESS, len(data))
        return fd

    def write(self, fd: int, *parts: bytes) -> tuple[Errno, int]:
        vectors = self.guest.place_iovecs(*((self.guest.place(part), len(part)) for part in parts))
        result = self.guest.reserve(4)
        errno = self.call("fd_write", fd, vectors, len(parts), result)
        return errno, self.guest.u32(result)

    def read(self, fd: int, *sizes: int) -> tuple[Errno, bytes]:
        pairs = [(self.guest.reserve(size), size) for size in sizes]
        result = self.guest.reserve(4)
        errno = self.call("fd_read", fd, self.guest.place_iovecs(*pairs), len(pairs), result)
        data = b"".join(self.guest.memory.read(address, size) for address, size in pairs)
        return errno, data[: self.guest.u32(result)]

    def seek(self, fd: int, offset: int, whence: int) -> tuple[Errno, int]:
        result = self.guest.reserve(8)
        return self.call("fd_seek", fd, offset, whence, result), self.guest.u64(result)

    def readdir(self, fd: int, size: int, cookie: int) -> bytes:
        buffer, result = self.guest.reserve(size), self.guest.reserve(4)
        assert self.call("fd_readdir", fd, buffer, size, cookie, result) is Errno.SUCCESS
        return self.guest.memory.read(buffer, self.guest.u32(result))

    def poll(self, *subscriptions: bytes) -> tuple[Errno, list[tuple[int, int]]]:
        """(errno, [(userdata, event type)])."""
        address = self.guest.place(b"".join(subscriptions))
        events, result = self.guest.reserve(32 * max(1, len(subscriptions))), self.guest.reserve(4)
        errno = self.call("poll_oneoff", address, events, len(subscriptions), result)
        raw = self.guest.memory.read(events, 32 * self.guest.u32(result))
        return errno, [(userdata, kind) for userdata, _, kind in struct.iter_unpack("<QHB21x", raw)]


def clock_subscription(userdata: int, timeout_ns: int, *, clock: int = 1, absolute: bool = False) -> bytes:
    return struct.pack("<QB7xI4xQQH6x", userdata, 0, clock, timeout_ns, 0, int(absolute))


def descriptor_subscription(userdata: int, fd: int) -> bytes:
    return struct.pack("<QB7xI28x", userdata, 1, fd)
