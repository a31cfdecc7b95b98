"""Runs the cells of sessions for requests: waits for a slot, lets an interrupt or a lost client end them.

Called by `service`, which found the session and claimed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from runtime.sandbox.admission import Admission
from runtime.sandbox.errors import RequestError
from runtime.sandbox.host_answer import HostAnswer
from runtime.sandbox.ledger import Ledger
from runtime.sandbox.session import Session, State
from runtime.sandbox.turn import Batch, InterruptedEarlyError, Turn
from runtime.sandbox.weights import Weights
from runtime.wire import CellReply, ErrorCode, Status


class Cells:
    def __init__(self, admission: Admission, weights: Weights, ledger: Ledger) -> None:
        self._admission = admission
        self._weights = weights
        self._ledger = ledger

    async def run(self, session: Session, batch: Batch, *, prelude: bool = False) -> CellReply:
        """Run the cells; the last one's reply, with those of all in `results` if they came as a list."""
        (code, *_), seconds, locals_mode = batch.codes, batch.seconds, batch.locals
        begin = partial(session.run, code, seconds, locals_mode, prelude=prelude)
        return await self._take_turn(session, begin, code, batch.rest)

    async def resume(self, session: Session, answer: HostAnswer, seconds: float | None) -> CellReply:
        """Go on with the suspended cell and those that wait behind it."""
        begin = partial(session.resume, answer, seconds)
        self._ledger.host_answer(session, answer)
        return await self._take_turn(session, begin, None, session.rest)

    async def interrupt(self, session: Session) -> CellReply:
        """End what runs or waits; the reply that its own request gets too. 409 when there is nothing to interrupt."""
        while True:
            if session.state is State.SUSPENDED:
                # A client that goes away must not leave it half interrupted.
                return await asyncio.shield(asyncio.ensure_future(self._interrupt_suspended(session)))
            turn = session.turn
            if turn is None and session.state is State.RUNNING:
                raise RequestError(ErrorCode.BUSY, f"session {session.id} is being read, set or branched; try again")
            if turn is None:
                raise RequestError(ErrorCode.NOT_RUNNING, f"no cell of session {session.id} runs or waits")
            session.hurry()
            ended = await turn.reply()
            if ended is not None:
                return ended

    async def _interrupt_suspended(self, session: Session) -> CellReply:
        with session.take_turn() as turn:
            reply = await session.interrupt()
            self._ledger.cell(session, reply, None)
            turn.end(reply)
        return reply

    async def _take_turn(
        self, session: Session, begin: Callable[[], Awaitable[CellReply]], code: str | None, rest: Batch | None
    ) -> CellReply:
        """One slot for all of it."""
        replies: list[CellReply] = []
        many = rest is not None
        with session.take_turn() as turn:
            async with AsyncExitStack() as held:
                try:
                    queued = await turn.wait_for(held.enter_async_context(self._admission.slot(session.owner)))
                except InterruptedEarlyError:
                    replies.append(await session.give_up())
                else:
                    replies.append(await self._interruptible(session, begin()))
                    replies[0].timing.queued = queued
                self._ledger.cell(session, replies[0], code)
                while rest is not None and rest.codes and replies[-1].status is Status.OK:
                    replies.append(await self._next(session, turn, rest))
                    self._ledger.cell(session, replies[-1], rest.codes[0])
                    rest = rest.rest
                if rest is not None:
                    session.rest = rest
            turn.end(replies[-1])
        return replies[-1].model_copy(update={"results": replies}) if many else replies[-1]

    async def _next(self, session: Session, turn: Turn, batch: Batch) -> CellReply:
        if turn.interrupted:
            return await session.give_up()
        return await self._interruptible(session, session.run(batch.codes[0], batch.seconds, batch.locals))

    async def _interruptible(self, session: Session, running: Awaitable[CellReply]) -> CellReply:
        """When the client goes away the handler is cancelled: the cell is killed and the state before it comes back."""
        try:
            with self._weights.running(session):
                return await running
        except asyncio.CancelledError:
            self._ledger.abandoned(session, await session.abandon())
            raise
