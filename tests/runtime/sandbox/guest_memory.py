"""A linear memory without a guest: a ctypes buffer that grows when it is told to."""

from __future__ import annotations

import ctypes
import struct

from runtime.sandbox.linear_memory import LinearMemory


class GuestMemory:
    """`memory` over `capacity` bytes of which `length` are there; `place` allocates in it for a test."""

    def __init__(self, length: int = 1 << 16, capacity: int = 1 << 20) -> None:
        self.buffer = ctypes.create_string_buffer(capacity)
        self.length = length
        self._next = 64
        self.memory = LinearMemory()
        self.memory.bind(ctypes.addressof(self.buffer), lambda: self.length)

    def reserve(self, size: int) -> int:
        address = self._next
        self._next += size + -size % 8
        return address

    def place(self, data: bytes) -> int:
        """The address of a copy of `data`."""
        address = self.reserve(len(data))
        self.memory.write(address, data)
        return address

    def place_iovecs(self, *pairs: tuple[int, int]) -> int:
        return self.place(b"".join(struct.pack("<II", address, length) for address, length in pairs))

    def u32(self, address: int) -> int:
        return int(struct.unpack("<I", self.memory.read(address, 4))[0])

    def u64(self, address: int) -> int:
        return int(struct.unpack("<Q", self.memory.read(address, 8))[0])
