"""Makes the C library give large blocks of memory back to the kernel as soon as they are freed. Called at the start.

glibc takes blocks of 128 KiB and more from the kernel by mmap, and returns them when they are freed; but each such
block that is freed raises that threshold to its own size, up to 32 MiB, so that the next ones come from the heap,
where one small block in use behind them keeps them from being returned (mallopt(3), M_MMAP_THRESHOLD). A server
that has carried thirty replies of 16 MiB stays that large for ever. A threshold that is set does not move.
"""

from __future__ import annotations

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # malloc.h of glibc
M_MMAP_THRESHOLD: Final = -3
LARGE: Final = 1 << 20  # more than what each read of a socket allocates, for which a mapping would be slow
TOP: Final = 4 << 20  # free memory at the heap's end that is kept


def return_large_blocks() -> bool:
    """False: this C library has no such setting (musl, which always returns large blocks)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all((mallopt(M_MMAP_THRESHOLD, LARGE), mallopt(M_TRIM_THRESHOLD, TOP)))
