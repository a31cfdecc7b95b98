"""One session as the server sees it: turns what its process does into replies, and keeps the count of cells.

The registry makes and finds sessions; the HTTP layer calls `run`, `resume` and `exchange`, one at a time (`claim`).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from runtime.sandbox.envelope import (
    ForgedEnvelopeError,
    GuestAnswer,
    GuestCall,
    GuestOutput,
    call_name,
    parse_answer,
    parse_call,
)
from runtime.sandbox.errors import ProcessError, RequestError
from runtime.sandbox.frames import Head
from runtime.sandbox.process import Answer, Call, End, Ended, Outcome, SessionProcess
from runtime.sandbox.reply import living_reply, lost_reply, rolled_back_reply, with_answer
from runtime.sandbox.turn import Batch, Turn
from runtime.sandbox.usage import Usage
from runtime.wire import (
    CellError,
    CellReply,
    CheckpointPolicy,
    ErrorCode,
    HostCall,
    LocalsMode,
    Status,
)

VARIABLE_SECONDS: Final = 60.0
MAX_REFUSED_CALLS: Final = 100  # of names that the session was not given: only a forger asks again and again
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


@dataclass(frozen=True)
class SessionOptions:
    """What is fixed when a session is created."""

    host_functions: tuple[str, ...]
    checkpoint: CheckpointPolicy
    output_bytes: int
    memory_bytes: int
    seed: int | None = None
    sealed: bool = False


@dataclass
class _Suspension:
    call: HostCall
    seconds_left: float
    locals: LocalsMode
    last_sign_of_life: float
    rest: Batch | None = None
    reseed: bool = False  # of a branch: its random numbers are still those of its source


@dataclass
class Session:
    """`owner` is the name of the key that made it; nobody else can find it."""

    owner: str
    id: str
    process: SessionProcess
    options: SessionOptions
    new_process: Callable[[], Awaitable[SessionProcess]]
    one_shot: bool = False
    state: State = State.IDLE
    cell: int = 0
    lost: bool = False
    created_at: float = field(default_factory=time.monotonic)
    used_at: float = field(default_factory=time.monotonic)
    memory_bytes: int = 0
    turn: Turn | None = None
    last_request: tuple[str, CellReply] | None = None
    _completed: int = 0  # the newest cell whose effects a reply has promised
    _begun: bool = False
    _pristine: bool = True
    _suspension: _Suspension | None = None

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
        outcome = await self._request(request, seconds, cover=prelude)
        outcome = await self._refuse_unknown_calls(outcome, seconds)
        return self._reply(await self._replace_if_pristine(outcome), seconds, locals_mode)

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

    async def resume(self, result: str | None, error: str | None, seconds: float | None) -> CellReply:
        """Answer the host call; `check_call` came before."""
        waiting = self._suspension
        if waiting is None:
            raise RequestError(ErrorCode.CALL_MISMATCH, f"session {self.id} does not wait for a call")
        self._suspension = None
        left = waiting.seconds_left if seconds is None else seconds
        answer: dict[str, object] = {"error": error} if error is not None else {"result": result or ""}
        if waiting.reseed:
            answer["reseed"] = True
        outcome = await self.process.resume(json.dumps(answer).encode(), left)
        outcome = await self._refuse_unknown_calls(outcome, left)
        return self._reply(await self._replace_if_pristine(outcome), left, waiting.locals)

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
            outcome = await self.process.interrupt() or Ended(End.INTERRUPTED, "", None)
            self.process.unreported = None  # an earlier death while suspended: this reply says how far it went back
            return self._reply(await self._replace_if_pristine(outcome), 0.0, LocalsMode.NONE)
        finally:
            self.used_at = time.monotonic()
            self.state = State.IDLE

    async def abandon(self) -> Usage:
        """End what runs or waits, of which nobody wants the reply: what it used. The next reply says what else was
        lost."""
        self._suspension = None
        self.state = State.RUNNING
        outcome = await self.process.interrupt()
        if isinstance(outcome, Ended):
            outcome = await self._replace_if_pristine(outcome)
        if isinstance(outcome, Ended):
            self._note_unreported(outcome)
        self.used_at = time.monotonic()
        self.state = State.IDLE
        return outcome.used if isinstance(outcome, Ended) else self.process.meter.used()

    async def exchange(
        self, request: dict[str, object], failure: str, *, cover: bool, descriptors: tuple[int, ...] = ()
    ) -> Answer:
        """Do what is no cell. Anything but an answer is 422 with `failure`, after which the state is as before."""
        outcome = await self._request(request, VARIABLE_SECONDS, cover=cover, descriptors=descriptors)
        self._pristine = False
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
        self._completed, self._begun, self._pristine = source._completed, source._begun, source._pristine
        self.process.unreported = source.process.unreported
        self.process.meter.inherit(source.process.meter)
        waiting = source._suspension
        if waiting is None:
            return None
        call = waiting.call.model_copy(update={"id": secrets.token_hex(16)})
        self._suspension = replace(waiting, call=call, last_sign_of_life=time.monotonic(), reseed=True)
        self.state = State.SUSPENDED
        return call

    def resident_bytes(self) -> int:
        """Memory that its head has in use, what it shares with other sessions included; 0 when it is gone."""
        return self.process.resident_bytes()

    def kill_for_memory(self) -> None:
        """End the cell that runs or is suspended; its reply, or that to its resume, is `memory`."""
        self.process.kill(End.MEMORY)

    def close(self) -> None:
        self.lost = True
        self.process.close()

    async def _request(
        self, request: dict[str, object], seconds: float, *, cover: bool, descriptors: tuple[int, ...] = ()
    ) -> Outcome:
        head: Head = {"policy": self.options.checkpoint.value, "cell": self.cell, "cover": cover}
        if not self._begun:
            options = self.options
            request["begin"] = {
                "host_functions": list(options.host_functions),
                "output": options.output_bytes,
                "seed": options.seed,
            }
            head["memory_limit"] = options.memory_bytes
            self._begun = True
        return await self.process.request(head, json.dumps(request).encode(), seconds, descriptors)

    async def _refuse_unknown_calls(self, outcome: Outcome, seconds: float) -> Outcome:
        """A call of a name that the session was not given can only be forged; its cell's clock goes on."""
        refused = 0
        while isinstance(outcome, Call) and call_name(outcome.body) not in self.options.host_functions:
            refused += 1
            if refused > MAX_REFUSED_CALLS or (self.turn is not None and self.turn.interrupted):
                return await self.process.interrupt() or Ended(End.INTERRUPTED, "unknown host calls", None)
            left = max(0.001, seconds - float(outcome.head.get("ran", 0.0)))
            refusal = json.dumps({"error": "not a host function of this session"}).encode()
            outcome = await self.process.resume(refusal, left)
        return outcome

    async def _replace_if_pristine(self, outcome: Outcome) -> Outcome:
        """A session whose very first cell ended its process has nothing to lose: it goes on with a new process.

        A cell that is only suspended has not ended: until it does, the session is as it was created.
        """
        if isinstance(outcome, Ended):
            if outcome.promoted_to is None and self._pristine and not self.one_shot and not self.lost:
                try:
                    process = await self.new_process()
                except ProcessError:
                    return outcome
                if self.lost:
                    process.close()  # deleted meanwhile
                    return outcome
                self.process.close()
                self.process = process
                self._begun = False
                return replace(outcome, promoted_to=0)
        elif isinstance(outcome, Answer):
            self._pristine = False
        return outcome

    def _note_unreported(self, outcome: Ended) -> None:
        """The process ended and no reply of a cell says so: the next one must, if more was lost than what ran."""
        if outcome.promoted_to is None:
            self.lost = True
        elif outcome.promoted_to < self._completed:
            self.process.unreported = outcome

    def _reply(self, outcome: Outcome, seconds: float, locals_mode: LocalsMode) -> CellReply:
        try:
            if isinstance(outcome, Answer):
                return self._ended_by_itself(outcome, parse_answer(outcome.body))
            if isinstance(outcome, Call):
                return self._suspended(outcome, parse_call(outcome.body), seconds, locals_mode)
        except ForgedEnvelopeError as error:
            # The guest's loop is no longer ours: nothing that this process holds can be trusted to be a good state.
            self.close()
            return self._lost(
                Status.CRASHED, f"the guest broke its envelope ({error}); {LOST}", self.process.meter.used()
            )
        return self._killed(outcome, seconds)

    def _ended_by_itself(self, outcome: Answer, answer: GuestAnswer) -> CellReply:
        reply = self._base(Status.OK if answer.status == "ok" else Status.ERROR, outcome.head, answer)
        self._completed = self.cell
        return with_answer(reply, answer)

    def _suspended(self, outcome: Call, call: GuestCall, seconds: float, locals_mode: LocalsMode) -> CellReply:
        reply = self._base(Status.SUSPENDED, outcome.head, call)
        reply.call = HostCall(id=secrets.token_hex(16), name=call.name, payload=call.payload)
        left = max(0.001, seconds - float(outcome.head.get("ran", 0.0)))
        self._suspension = _Suspension(reply.call, left, locals_mode, time.monotonic())
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
