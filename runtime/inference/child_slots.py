"""How many child runs a process has at a time, level by level.

Each child run holds a session of the pool. A run that waits for its children keeps its own slot, so every level has
slots of its own: those who wait only ever wait for a deeper level, and the deepest waits for none.
"""

from __future__ import annotations

import asyncio


class ChildSlots:
    """Owned by the engine, shared by all runs of the process."""

    def __init__(self, per_level: int) -> None:
        self._per_level = per_level
        self._levels: dict[int, asyncio.Semaphore] = {}

    def at(self, depth: int) -> asyncio.Semaphore:
        return self._levels.setdefault(depth, asyncio.Semaphore(self._per_level))
