"""A fork without what CPython does around one, in processes that have one thread and no hooks: zygote and sessions.

`os.fork` makes locks anew that other threads may have held, forgets those threads and runs the hooks of modules. Where
there are neither, none of it changes anything, but it writes to 110 pages, which the kernel copies: 0.4 MB of each
session, and an eighth of the page faults of a checkpoint. Used by `zygote`, `checkpoint` and `branch`.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache


def bare_fork() -> int:
    """As `os.fork`; OSError if it is refused. Nobody may have registered a hook or started a thread."""
    child = int(_libc().fork())
    if child < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return child


@cache
def _libc() -> ctypes.PyDLL:
    """Called with the interpreter's lock held, as the child needs it at once."""
    return ctypes.PyDLL(None, use_errno=True)
