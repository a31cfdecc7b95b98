"""Raw output of a guest: what it writes to descriptors 1 and 2 itself, kept for the reply and never shown to the
host."""

from __future__ import annotations


class OutputCapture:
    """What the guest wrote to descriptors 1 and 2 past its own sys.stdout; the rest beyond `cap` bytes is dropped."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._parts: list[bytes] = []
        self._length = 0
        self.truncated = False

    def room(self) -> int:
        return self._cap - self._length

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self._length += len(data)

    def take(self) -> bytes:
        """Everything since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._length = 0
        return data
