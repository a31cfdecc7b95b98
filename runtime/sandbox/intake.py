"""Large messages of session processes on their way in: the unfinished ones have a bounded part of memory together.

Beyond it a message is left in its sender, which blocks, until there is room. The one that began first always goes on,
so that no two wait for each other. Each `channel` has a line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CAPACITY: Final = 64 << 20
SMALL: Final = 1 << 20  # no more than this is taken without being counted


class Line:
    """Of one channel. `on_room` is called when it may read on."""

    def __init__(self, intake: Intake, on_room: Callable[[], None]) -> None:
        self._intake = intake
        self._on_room = on_room
        self.size = 0
        self.held = False

    def reach(self, size: int) -> bool:
        """The unfinished message has `size` bytes. False: no more of it may be read until there is room."""
        if size <= SMALL:
            self.leave()  # another message has begun; the sender of the one before is dead
            return True
        self.size = size
        self.held = not self._intake.has_room_for(self)
        return not self.held

    def leave(self) -> None:
        """The message is whole, or dropped."""
        if self.size:
            self.size = 0
            self.held = False
            self._intake.remove(self)

    def go_on(self) -> None:
        self.held = False
        self._on_room()


class Intake:
    """`capacity` bytes for all unfinished messages, besides the one that began first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lines: dict[Line, None] = {}  # in the order in which their messages became large

    def has_room_for(self, line: Line) -> bool:
        self._lines.setdefault(line)
        return self._is_first(line) or sum(other.size for other in self._lines) <= self._capacity

    def remove(self, line: Line) -> None:
        self._lines.pop(line, None)
        for waiting in [other for other in self._lines if other.held]:
            if not self.has_room_for(waiting):
                return
            waiting.go_on()

    def _is_first(self, line: Line) -> bool:
        return next(iter(self._lines)) is line
