"""The sections of a WebAssembly module, as far as needed to leave some out.

Format: WebAssembly core specification, binary format. 8 bytes of preamble, then sections: a byte of id, the length, the
content; id 0 is a custom section, whose content starts with its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PREAMBLE: Final = b"\0asm\1\0\0\0"
CUSTOM: Final = 0
NAMES: Final = b"name"  # what functions are called, for debuggers: 14 MB of the guest's 99


def without_names(module: bytes) -> bytes:
    """The module without its name section, which changes nothing that it does. ValueError if it is no module."""
    if not module.startswith(PREAMBLE):
        raise ValueError("it is not a WebAssembly module")
    kept = [module[start:end] for start, end, name in _sections(module) if name != NAMES]
    return b"".join([PREAMBLE, *kept])


def _sections(module: bytes) -> Iterator[tuple[int, int, bytes | None]]:
    """Where each section starts and ends, and the name of a custom one."""
    start = len(PREAMBLE)
    while start < len(module):
        length, content = _unsigned(module, start + 1)
        name = None
        if module[start] == CUSTOM:
            size, text = _unsigned(module, content)
            name = module[text : text + size]
        yield start, content + length, name
        start = content + length


def _unsigned(module: bytes, position: int) -> tuple[int, int]:
    """A LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = module[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
