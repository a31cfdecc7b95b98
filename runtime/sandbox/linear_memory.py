"""The guest's linear memory as the host's WASI and door see it: bounds-checked reads and writes by guest address.

The base address is taken once: with wasmtime's default 4 GiB reservation a memory grows in place and never moves.
Growth is noticed when an access lies beyond the length that was seen last.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable

U32 = 0xFFFFFFFF
MAX_IOVECS = 1024  # as on Linux: each takes the host's memory, which the guest's limit does not cover


class OutOfBoundsError(Exception):
    """A guest address lies outside the linear memory, or there are too many of them; WASI calls answer EFAULT."""


class LinearMemory:
    """Unbound until the module is instantiated; `bind` gives it the address and a function for the current length."""

    def __init__(self) -> None:
        self._base = 0
        self._length = 0
        self._current_length: Callable[[], int] = lambda: 0

    def bind(self, base: int, current_length: Callable[[], int]) -> None:
        self._base = base
        self._current_length = current_length
        self._length = current_length()

    def size(self) -> int:
        """Bytes of linear memory now."""
        self._length = self._current_length()
        return self._length

    def read(self, address: int, length: int) -> bytes:
        return ctypes.string_at(self._at(address, length), length & U32)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        self._at(address, len(data))
        self.view(address, len(data))[:] = data

    def view(self, address: int, length: int) -> memoryview:
        """A writable view that is valid as long as the process; no copy."""
        start = self._at(address, length)
        return memoryview((ctypes.c_char * (length & U32)).from_address(start)).cast("B")

    def write_u32(self, address: int, value: int) -> None:
        self.write(address, struct.pack("<I", value & U32))

    def write_u64(self, address: int, value: int) -> None:
        self.write(address, struct.pack("<Q", value & 0xFFFFFFFFFFFFFFFF))

    def iovecs(self, address: int, count: int) -> list[tuple[int, int]]:
        """The (address, length) pairs of a WASI iovec array."""
        if count & U32 > MAX_IOVECS:
            raise OutOfBoundsError(f"{count & U32} buffers in one call")
        raw = self.read(address, 8 * (count & U32))
        return list(struct.iter_unpack("<II", raw))

    def _at(self, address: int, length: int) -> int:
        """Host address of a guest range; WASM passes i32 as signed, hence the masks."""
        address &= U32
        length &= U32
        if address + length > self._length and address + length > self.size():
            raise OutOfBoundsError(f"{length} bytes at {address:#x} of {self._length}")
        return self._base + address
