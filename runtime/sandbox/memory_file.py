"""Bodies of variables on their way in: files in memory that all of them together may fill only so far.

Called by `variables`; `bodies` has such a room for other requests. A body takes the pod's memory as it arrives, before
any session's limit applies.
"""

from __future__ import annotations

import os
import threading

from runtime.sandbox.errors import RequestError
from runtime.wire import ErrorCode


class Room:
    """`capacity` bytes to share, for `what`. Taken from in the event loop and in the threads that convert."""

    def __init__(self, capacity: int, what: str = "variables") -> None:
        self.capacity = capacity
        self._what = what
        self.held = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """RequestError: 429 when there is no room for `size` bytes more."""
        with self._lock:
            if self.held + size > self.capacity:
                message = (
                    f"{self._what} of {self.held} bytes are on their way in, at most {self.capacity}; try again later"
                )
                raise RequestError(ErrorCode.QUEUE_FULL, message)
            self.held += size

    def give(self, size: int) -> None:
        with self._lock:
            self.held -= size


class MemoryFile:
    """An anonymous file in memory and its share of the room; both end with `close`."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0
        self.descriptor = os.memfd_create("variable", os.MFD_CLOEXEC)

    def write(self, data: bytes) -> None:
        """Append. RequestError: 429 when there is no room."""
        self._room.take(len(data))
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def close(self) -> None:
        os.close(self.descriptor)
        self._room.give(self.size)
