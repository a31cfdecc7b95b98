"""A session's turn: the work of one request on its cells, from the wait for a slot to the reply.

An interrupt comes with a request of its own and needs two things of the turn: a way to cut its wait for a slot short,
and the reply that the turn ends with. Made by `session`, used by `cells`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TypeVar

from runtime.wire import CellReply, LocalsMode

ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class Batch:
    """Cells that run in order until one is not ok; each may run for `seconds`. `many`: asked for as a list."""

    codes: tuple[str, ...]
    seconds: float
    locals: LocalsMode
    many: bool = False

    @property
    def rest(self) -> Batch | None:
        """All but the first, also when that is none; None for a cell that is no list."""
        return replace(self, codes=self.codes[1:]) if self.many else None


class InterruptedEarlyError(Exception):
    """The turn was interrupted before its cell began or went on."""


class Turn:
    """Ends once, with a reply or (refused, client gone before it began) without one."""

    def __init__(self) -> None:
        self.interrupted = False
        self._reply: asyncio.Future[CellReply | None] = asyncio.get_running_loop().create_future()
        self._waiting: asyncio.Timeout | None = None

    async def wait_for(self, slot: Awaitable[ValueT]) -> ValueT:
        """What `slot` gives; InterruptedEarlyError if the interrupt comes first."""
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await slot
        except TimeoutError:
            raise InterruptedEarlyError from None
        finally:
            self._waiting = None

    def interrupt(self) -> None:
        """No further cell of this turn begins."""
        self.interrupted = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def end(self, reply: CellReply | None) -> None:
        if not self._reply.done():
            self._reply.set_result(reply)

    async def reply(self) -> CellReply | None:
        """Wait for the end."""
        return await asyncio.shield(self._reply)
