"""Landlock: a process gives up the file system, TCP and signals to others, but for the files that it names.

Used by `hardening` in session processes. Raw system calls: glibc has no wrappers for them.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

LANDLOCK_CREATE_RULESET: Final = 444
LANDLOCK_ADD_RULE: Final = 445
LANDLOCK_RESTRICT_SELF: Final = 446
LANDLOCK_CREATE_RULESET_VERSION: Final = 1
LANDLOCK_RULE_PATH_BENEATH: Final = 1
EXECUTE: Final = 1 << 0
READ_FILE: Final = 1 << 2
SCOPE_SIGNAL: Final = 1 << 1
# Rights by Landlock ABI version: (file system, network, scope); linux/landlock.h.
LANDLOCK_RIGHTS: Final = {
    1: (0x1FFF, 0, 0),
    2: (0x3FFF, 0, 0),
    3: (0x7FFF, 0, 0),
    4: (0x7FFF, 3, 0),
    5: (0xFFFF, 3, 0),
    6: (0xFFFF, 3, 3),
}


class LandlockError(Exception):
    """This kernel offers Landlock and refused it."""


@dataclass(frozen=True)
class Landlock:
    """Every right that kernels of `abi` know is given up, except to read files at or below `readable` and to execute
    (and read) those at or below `executable`. A path that does not exist is passed over.

    `signals`: to processes outside may still be sent. A parent-death signal counts as sent by the parent.
    """

    abi: int
    signals: bool = False
    readable: tuple[Path, ...] = ()
    executable: tuple[Path, ...] = ()

    def restrict(self) -> None:
        """Irrevocable, for this thread and what it starts; needs no_new_privs. Paths are looked up now."""
        libc = _libc()
        attributes = _attributes(self.abi, signals=self.signals)
        ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
        _check("landlock_create_ruleset", ruleset)
        for allowed, paths in ((READ_FILE, self.readable), (READ_FILE | EXECUTE, self.executable)):
            for path in paths:
                with _opened(path) as descriptor:
                    if descriptor is not None:
                        rule = ctypes.create_string_buffer(struct.pack("<Qi", allowed, descriptor), 12)
                        added = libc.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
                        _check(f"landlock_add_rule of {path}", added)
        _check("landlock_restrict_self", libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0))
        os.close(ruleset)


def landlock() -> Landlock | None:
    """No rights at all; None where this kernel has no Landlock."""
    abi = _libc().syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if abi < 1:
        return None
    _attributes(abi, signals=False)  # here, so that not each session makes it anew
    return Landlock(abi)


@cache
def _attributes(abi: int, *, signals: bool) -> bytes:
    """struct landlock_ruleset_attr. Trailing zero fields that an older kernel does not know are accepted by it (E2BIG
    only for set bits)."""
    files, network, scope = LANDLOCK_RIGHTS[min(abi, max(LANDLOCK_RIGHTS))]
    return struct.pack("<QQQ", files, network, scope & ~SCOPE_SIGNAL if signals else scope)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check(call: str, result: int) -> None:
    if result < 0:
        raise LandlockError(f"{call}: {os.strerror(ctypes.get_errno())}")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
