"""Which request a session process has begun, in a page of memory that its checkpoints share with it.

A head that somebody kills says nothing, and its checkpoint is a copy from before the request. What the head wrote here,
the checkpoint reads after its death: so the server learns whether a request was begun, and sends one that certainly
was not to the new head. Held by `checkpoint`, written by `door`.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

NUMBER: Final = struct.Struct("<Q")


class Begun:
    """The server numbers the requests of a process from 1."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)  # MAP_SHARED: forks write to the same page

    @property
    def number(self) -> int:
        """Of the last request that was begun; 0: none."""
        return int(NUMBER.unpack_from(self._page)[0])

    @number.setter
    def number(self, number: int) -> None:
        NUMBER.pack_into(self._page, 0, number)
