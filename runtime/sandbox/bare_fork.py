"""A fork without what CPython does around one, for a child that nearly always only waits and ends: a checkpoint.

`os.fork` runs locks, hooks and the hooks of imported modules before and after. In a checkpoint that writes to 130 pages
that it shares with its head, each of which the kernel copies, for the one checkpoint in thousands that is ever
promoted; that one calls `finish_fork`. Nothing is left out that a process with one thread needs to wait in `read`.
Used by `checkpoint`.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache


def bare_fork() -> int:
    """As `os.fork`. The child must not start threads or import before `finish_fork`."""
    child = int(_libc().fork())
    if child < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return child


def finish_fork() -> None:
    """In the child: what `os.fork` does there."""
    ctypes.pythonapi.PyOS_AfterFork_Child()


@cache
def _libc() -> ctypes.PyDLL:
    """Called with the interpreter's lock held, as the child needs it at once."""
    return ctypes.PyDLL(None, use_errno=True)
