"""Several requests of one reconcile under way at once, a few at a time. Called by `children.py` and `trust/`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

LANES: Final = 4
"""With eight workers that makes 32 requests at once at most, which the API server's fair queues take in."""

Item = TypeVar("Item")
Result = TypeVar("Result")


async def each_in_lanes(items: Sequence[Item], action: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """The results in the order of `items`. All are tried; then the first error, in that order, is raised."""
    if len(items) < 2:
        return [await action(item) for item in items]
    lanes = asyncio.Semaphore(LANES)

    async def one(item: Item) -> Result:
        async with lanes:
            return await action(item)

    ended = await asyncio.gather(*map(one, items), return_exceptions=True)
    results: list[Result] = []
    for end in ended:
        if isinstance(end, BaseException):
            raise end
        results.append(end)
    return results
