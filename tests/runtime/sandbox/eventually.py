"""Wait for a condition with a generous deadline: the tests never sleep for a fixed time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

DEADLINE: Final = 60.0
POLL: Final = 0.02


async def eventually(condition: Callable[[], object | Awaitable[object]], deadline: float = DEADLINE) -> None:
    """Return once `condition()` (or what it awaits) is true; AssertionError after `deadline` seconds."""
    end = asyncio.get_running_loop().time() + deadline
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {deadline:g} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(POLL)
