"""Identical sub-calls inside one run are asked once.

One `Memo` per tree of runs. What failed is not kept, so code can try again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from runtime.inference.outcome import Outcome


class Memo:
    """Keys are hashed, so that the prompts are not kept. Nobody here waits in a circle: the answer to a child's prompt
    at one depth depends on deeper ones only."""

    def __init__(self) -> None:
        self._answers: dict[bytes, asyncio.Future[Outcome]] = {}

    async def answer(self, key: tuple[str, ...], ask: Callable[[], Awaitable[Outcome]]) -> tuple[Outcome, bool]:
        """The outcome, and whether it is that of an equal call, also of one that is still under way."""
        digest = hashlib.sha256(repr(key).encode("utf-8", "backslashreplace")).digest()
        if (known := self._answers.get(digest)) is not None:
            return await asyncio.shield(known), True
        mine = self._answers[digest] = asyncio.get_running_loop().create_future()
        try:
            outcome = await ask()
        except BaseException:
            del self._answers[digest]
            mine.cancel()
            raise
        if outcome.error is not None:
            del self._answers[digest]
        mine.set_result(outcome)
        return outcome, False
