"""One session as the server sees it: turns what its process does into replies, and keeps the count of cells.

The registry makes and finds sessions; the HTTP layer calls `run`, `resume` and `exchange`, one at a time (`claim`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from runtime.sandbox.dialogue import Answered, Called, Dialogue, Forged, Said, SessionOptions
from runtime.sandbox.envelope import GuestAnswer, GuestCall, GuestOutput
from runtime.sandbox.errors import RequestError
from runtime.sandbox.frames import Head
from runtime.sandbox.host_answer import HostAnswer
from runtime.sandbox.kept import KeptCall, KeptReply, size_of
from runtime.sandbox.process import Answer, Call, End, Ended, SessionProcess
from runtime.sandbox.reply import living_reply, lost_reply, rolled_back_reply, with_answer
from runtime.sandbox.turn import Batch, Turn
from runtime.sandbox.usage import Usage
from runtime.wire import CellError, CellReply, ErrorCode, HostCall, LocalsMode, Status

VARIABLE_SECONDS: Final = 60.0
LOST: Final = "no checkpoint was left, the session is gone"

STATUS_OF_END: Final = {
    End.TIMEOUT: Status.TIMEOUT,
    End.INTERRUPTED: Status.INTERRUPTED,
    End.MEMORY: Status.MEMORY,
    End.DIED: Status.CRASHED,
}


class State(StrEnum):
    IDLE = "idle"
    RUNNING = "running"
    SUSPENDED = "suspended"


@dataclass
class _Suspension:
    call: KeptCall
    seconds_left: float
    locals: LocalsMode
    last_sign_of_life: float
    rest: Batch | None = None
    reseed: bool = False  # of a branch: its random numbers are still those of its source


class Session:
    """`owner` is the name of the key that made it; nobody else can find it."""

    def __init__(
        self,
        owner: str,
        session_id: str,
        process: SessionProcess,
        options: SessionOptions,
        new_process: Callable[[], Awaitable[SessionProcess]],
        *,
        one_shot: bool = False,
    ) -> None:
        self.owner = owner
        self.id = session_id
        self.options = options
        self.one_shot = one_shot
        self.state = State.IDLE
        self.cell = 0
        self.created_at = self.used_at = time.monotonic()
        self.memory_bytes = 0
        self.turn: Turn | None = None
        self._dialogue = Dialogue(process, options, new_process, self._is_interrupted, renewable=not one_shot)
        self._completed = 0  # the newest cell whose effects a reply has promised
        self._suspension: _Suspension | None = None
        self._last: KeptReply | None = None

    @property
    def process(self) -> SessionProcess:
        return self._dialogue.process

    @property
    def lost(self) -> bool:
        """Closed: by its owner, by the server, or because no process was left."""
        return self._dialogue.lost

    @contextmanager
    def claim(self, *, suspended: bool = False) -> Iterator[None]:
        """One request at a time: 409 when another runs, or when the session is (not) suspended."""
        wanted = State.SUSPENDED if suspended else State.IDLE
        if self.state is not wanted:
            what = "is not suspended in a host call" if suspended else f"is {self.state.value}"
            raise RequestError(ErrorCode.BUSY, f"session {self.id} {what}; wait for its reply, resume or delete it")
        self.state = State.RUNNING
        try:
            yield
        finally:
            self.used_at = time.monotonic()
            if self.state is State.RUNNING:
                self.state = State.IDLE if self._suspension is None else State.SUSPENDED

    async def run(self, code: str, seconds: float, locals_mode: LocalsMode, *, prelude: bool = False) -> CellReply:
        """Run a cell. A prelude is cell 0 and its names are hidden from `locals`."""
        if not prelude:
            self.cell += 1
        request = {"op": "run", "code": code, "cell": self.cell, "locals": locals_mode.value, "prelude": prelude}
        said = await self._dialogue.run(request, seconds, cell=self.cell, cover=prelude)
        return self._reply(said, seconds, locals_mode)

    @property
    def rest(self) -> Batch | None:
        """What runs after the suspended cell, if that was one of several."""
        return None if self._suspension is None else self._suspension.rest

    @rest.setter
    def rest(self, rest: Batch) -> None:
        if self._suspension is not None:
            self._suspension.rest = rest

    def check_call(self, call_id: str) -> None:
        """409 unless `call_id` is the call in which the session waits."""
        waiting = self._suspension
        if waiting is None or not secrets.compare_digest(waiting.call.id.encode(), call_id.encode()):
            raise RequestError(ErrorCode.CALL_MISMATCH, f"session {self.id} does not wait for this call")

    async def resume(self, answer: HostAnswer, seconds: float | None) -> CellReply:
        """Answer the host call; `check_call` came before."""
        waiting = self._suspension
        if waiting is None:
            raise RequestError(ErrorCode.CALL_MISMATCH, f"session {self.id} does not wait for a call")
        self._suspension = None
        left, locals_mode = waiting.seconds_left if seconds is None else seconds, waiting.locals
        speaking = self._dialogue.resume(answer.take(reseed=waiting.reseed), left)
        del waiting  # with what its call keeps
        return self._reply(await speaking, left, locals_mode)

    def keep_reply(self, request_id: str, reply: CellReply) -> None:
        """Of the last request that had an id."""
        self._last = KeptReply.of(request_id, reply, None if self._suspension is None else self._suspension.call)

    def repeat_reply(self, request_id: str) -> CellReply | None:
        """The reply that was kept for this id."""
        last = self._last
        return last.restore() if last is not None and last.request_id == request_id else None

    def kept_bytes(self) -> int:
        """What the server's own memory holds for it."""
        return size_of(None if self._suspension is None else self._suspension.call, self._last)

    @contextmanager
    def take_turn(self) -> Iterator[Turn]:
        """The work of one request on the claimed session; whoever interrupts it waits for its end."""
        turn = self.turn = Turn()
        try:
            yield turn
        finally:
            self.turn = None
            turn.end(None)

    def hurry(self) -> None:
        """Interrupt the turn: what runs is killed, nothing more begins, and the turn ends with the reply to that."""
        if self.turn is not None:
            self.turn.interrupt()
        self.process.stop()

    async def give_up(self) -> CellReply:
        """The turn was interrupted while it waited for a slot: a suspended cell ends, a new one does not begin."""
        if self._suspension is not None:
            return await self.interrupt()
        self.cell += 1
        error = CellError(type=Status.INTERRUPTED.value, message="interrupted before it began; nothing has run")
        return CellReply(session_id=self.id, cell=self.cell, status=Status.INTERRUPTED, error=error)

    async def interrupt(self) -> CellReply:
        """End the suspended cell; the state before it comes back. Nothing else is let in meanwhile."""
        self._suspension = None
        self.state = State.RUNNING
        try:
            said = await self._dialogue.interrupt()
            self.process.unreported = None  # an earlier death while suspended: this reply says how far it went back
            return self._reply(said, 0.0, LocalsMode.NONE)
        finally:
            self.used_at = time.monotonic()
            self.state = State.IDLE

    async def abandon(self) -> Usage:
        """End what runs or waits, of which nobody wants the reply: what it used. The next reply says what else was
        lost."""
        self._suspension = None
        self.state = State.RUNNING
        said = await self._dialogue.interrupt() if self.process.is_under_way else None
        if isinstance(said, Ended):
            self._note_unreported(said)
        self.used_at = time.monotonic()
        self.state = State.IDLE
        return said.used if isinstance(said, Ended) else self.process.meter.used()

    async def exchange(
        self, request: dict[str, object], failure: str, *, cover: bool, descriptors: tuple[int, ...] = ()
    ) -> Answer:
        """Do what is no cell. Anything but an answer is 422 with `failure`, after which the state is as before."""
        outcome = await self._dialogue.exchange(
            request, VARIABLE_SECONDS, cell=self.cell, cover=cover, descriptors=descriptors
        )
        if isinstance(outcome, Answer):
            return outcome
        if isinstance(outcome, Call):
            self.close()
        else:
            self._note_unreported(outcome)
        raise RequestError(ErrorCode.INVALID_VALUE, failure, {"session_lost": self.lost})

    @property
    def is_suspended(self) -> bool:
        """A cell waits in a host call, whoever has claimed the session."""
        return self._suspension is not None

    @property
    def is_over(self) -> bool:
        """Nothing is left of it. While a request runs, the request finds out itself and may take a new process."""
        return self.lost or (self.process.gone and self.state is not State.RUNNING)

    def touch(self) -> None:
        """The owner is alive and will answer the host call."""
        self.used_at = time.monotonic()
        if self._suspension is not None:
            self._suspension.last_sign_of_life = self.used_at

    def abandoned_for(self, now: float) -> float:
        """Seconds without a sign of life while suspended."""
        return 0.0 if self._suspension is None else now - self._suspension.last_sign_of_life

    def become_branch_of(self, source: Session) -> HostCall | None:
        """Take over what the process, a fork of the claimed `source`'s, already holds; the call in which it waits."""
        self.cell, self.memory_bytes = source.cell, source.memory_bytes
        self._completed = source._completed
        self._dialogue.become_branch_of(source._dialogue)
        waiting = source._suspension
        if waiting is None:
            return None
        call = waiting.call.with_new_id()
        self._suspension = replace(waiting, call=call, last_sign_of_life=time.monotonic(), reseed=True)
        self.state = State.SUSPENDED
        return call.restore()

    def resident_bytes(self) -> int:
        """Memory that its head has in use, what it shares with other sessions included; 0 when it is gone."""
        return self.process.resident_bytes()

    def kill_for_memory(self) -> None:
        """End the cell that runs or is suspended; its reply, or that to its resume, is `memory`."""
        self.process.kill(End.MEMORY)

    def close(self) -> None:
        self._dialogue.close()
        self._suspension = self._last = None

    def _is_interrupted(self) -> bool:
        return self.turn is not None and self.turn.interrupted

    def _note_unreported(self, outcome: Ended) -> None:
        """The process ended and no reply of a cell says so: the next one must, if more was lost than what ran."""
        if outcome.promoted_to is None:
            self.close()
        elif outcome.promoted_to < self._completed:
            self.process.unreported = outcome

    def _reply(self, said: Said, seconds: float, locals_mode: LocalsMode) -> CellReply:
        if isinstance(said, Answered):
            return self._ended_by_itself(said.head, said.answer)
        if isinstance(said, Called):
            return self._suspended(said.head, said.call, seconds, locals_mode)
        if isinstance(said, Forged):
            self.close()
            message = f"the guest broke its envelope ({said.problem}); {LOST}"
            return self._lost(Status.CRASHED, message, self.process.meter.used())
        return self._killed(said, seconds)

    def _ended_by_itself(self, head: Head, answer: GuestAnswer) -> CellReply:
        reply = self._base(Status.OK if answer.status == "ok" else Status.ERROR, head, answer)
        self._completed = self.cell
        return with_answer(reply, answer)

    def _suspended(self, head: Head, call: GuestCall, seconds: float, locals_mode: LocalsMode) -> CellReply:
        reply = self._base(Status.SUSPENDED, head, call)
        reply.call = HostCall(id=secrets.token_hex(16), name=call.name, payload=call.payload)
        left = max(0.001, seconds - float(head.get("ran", 0.0)))
        self._suspension = _Suspension(KeptCall.of(reply.call), left, locals_mode, time.monotonic())
        self.state = State.SUSPENDED
        return reply

    def _killed(self, outcome: Ended, seconds: float) -> CellReply:
        status = STATUS_OF_END[outcome.end]
        message = {
            Status.TIMEOUT: f"ran longer than {seconds:g} s",
            Status.INTERRUPTED: "interrupted from outside",
            Status.MEMORY: "the server ran short of memory, and no session held more of it",
        }.get(status, outcome.detail or "the guest's process ended")
        if outcome.promoted_to is None:
            self.close()
            return self._lost(status, message if self.one_shot else f"{message}; {LOST}", outcome.used)
        self._completed = outcome.promoted_to
        return rolled_back_reply(self.id, self.cell, status, outcome.promoted_to, message, outcome.used)

    def _lost(self, status: Status, message: str, used: Usage) -> CellReply:
        return lost_reply(self.id, self.cell, status, message, used, session_lost=not self.one_shot)

    def _base(self, status: Status, head: Head, output: GuestOutput) -> CellReply:
        """Fields that every reply of a living process has, and what no reply has said yet."""
        reply = living_reply(self.id, self.cell, status, head, output, self.options.output_bytes)
        self.memory_bytes = reply.memory_bytes
        missed = self.process.unreported
        if missed is not None and missed.promoted_to is not None:
            self.process.unreported = None
            reply.rolled_back = True
            reply.rolled_back_to = missed.promoted_to
        return reply
