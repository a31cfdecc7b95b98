"""What the server and a session's process say to each other, checked: requests in, what the guest said of them out.

A session is its cells; this is what every request of it has in common: what the first one begins with, calls of names
that the session was not given, and the new process for one that ended before anything could be lost. Owned by
`session`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from runtime.sandbox.envelope import ForgedEnvelopeError, GuestAnswer, GuestCall, parse_answer, parse_call
from runtime.sandbox.errors import ProcessError
from runtime.sandbox.frames import Head
from runtime.sandbox.process import Answer, Call, End, Ended, Outcome, SessionProcess
from runtime.wire import CheckpointPolicy

MAX_REFUSED_CALLS: Final = 100  # of names that the session was not given: only a forger asks again and again
REFUSAL: Final = json.dumps({"error": "not a host function of this session"}).encode()


@dataclass(frozen=True)
class SessionOptions:
    """What is fixed when a session is created."""

    host_functions: tuple[str, ...]
    checkpoint: CheckpointPolicy
    output_bytes: int
    memory_bytes: int
    seed: int | None = None
    sealed: bool = False


@dataclass(frozen=True)
class Answered:
    """The cell ended by itself."""

    head: Head
    answer: GuestAnswer


@dataclass(frozen=True)
class Called:
    """The cell waits for one of the session's host functions."""

    head: Head
    call: GuestCall


@dataclass(frozen=True)
class Forged:
    """What came is no answer of our loop's: nothing that this process holds can be trusted to be a good state."""

    problem: str


Said = Answered | Called | Forged | Ended


class Dialogue:
    """`interrupted`: nobody waits for what is said any more. `renewable`: a process that ended is replaced if nothing
    was lost with it."""

    def __init__(
        self,
        process: SessionProcess,
        options: SessionOptions,
        new_process: Callable[[], Awaitable[SessionProcess]],
        interrupted: Callable[[], bool],
        *,
        renewable: bool,
    ) -> None:
        self.process = process
        self.lost = False
        self._options = options
        self._new_process = new_process
        self._interrupted = interrupted
        self._renewable = renewable
        self._begun = False
        self._pristine = True

    def become_branch_of(self, source: Dialogue) -> None:
        """The process is a fork of that of `source`."""
        self._begun, self._pristine = source._begun, source._pristine
        self.process.become_branch_of(source.process)

    def close(self) -> None:
        self.lost = True
        self.process.close()

    def run(self, request: dict[str, object], seconds: float, *, cell: int, cover: bool) -> Awaitable[Said]:
        """Run a cell."""
        return self._hear(self._send(request, seconds, cell=cell, cover=cover), seconds)

    def resume(self, answer: bytes, seconds: float) -> Awaitable[Said]:
        """Let the suspended cell go on. The answer is not held while it runs, if the caller does not."""
        return self._hear(self.process.resume(answer, seconds), seconds)

    async def interrupt(self) -> Said:
        """End what runs or is suspended: how it ended, or what it said in that moment."""
        return await self._hear(self._stopped(), 0.0)

    async def exchange(
        self, request: dict[str, object], seconds: float, *, cell: int, cover: bool, descriptors: tuple[int, ...]
    ) -> Outcome:
        """Have something done that is no cell."""
        outcome = await self._send(request, seconds, cell=cell, cover=cover, descriptors=descriptors)
        self._pristine = False
        return outcome

    def _send(
        self,
        request: dict[str, object],
        seconds: float,
        *,
        cell: int,
        cover: bool,
        descriptors: tuple[int, ...] = (),
    ) -> Awaitable[Outcome]:
        head: Head = {"policy": self._options.checkpoint.value, "cell": cell, "cover": cover}
        if not self._begun:
            options = self._options
            request["begin"] = {
                "host_functions": list(options.host_functions),
                "output": options.output_bytes,
                "seed": options.seed,
            }
            head["memory_limit"] = options.memory_bytes
            self._begun = True
        return self.process.request(head, json.dumps(request).encode(), seconds, descriptors)

    async def _stopped(self) -> Outcome:
        return await self.process.interrupt() or Ended(End.INTERRUPTED, "", None)

    async def _hear(self, speaking: Awaitable[Outcome], seconds: float) -> Said:
        outcome = await self._refuse_unknown_calls(await speaking, seconds)
        if isinstance(outcome, Answer):
            self._pristine = False
            try:
                return Answered(outcome.head, parse_answer(outcome.body))
            except ForgedEnvelopeError as error:
                return Forged(str(error))
        return await self._renew(outcome) if isinstance(outcome, Ended) else outcome

    async def _refuse_unknown_calls(self, outcome: Outcome, seconds: float) -> Answer | Called | Ended:
        """A call of a name that the session was not given can only be forged; its cell's clock goes on."""
        refused = 0
        while isinstance(outcome, Call):
            call = self._known_call(outcome)
            if call is not None:
                return call
            refused += 1
            if refused > MAX_REFUSED_CALLS or self._interrupted():
                ended = await self.process.interrupt()
                return ended if isinstance(ended, Ended) else Ended(End.INTERRUPTED, "unknown host calls", None)
            left = max(0.001, seconds - float(outcome.head.get("ran", 0.0)))
            outcome = await self.process.resume(REFUSAL, left)
        return outcome

    def _known_call(self, outcome: Call) -> Called | None:
        try:
            call = parse_call(outcome.body)
        except ForgedEnvelopeError:
            return None
        return Called(outcome.head, call) if call.name in self._options.host_functions else None

    async def _renew(self, ended: Ended) -> Ended:
        """A session whose very first cell ended its process has nothing to lose: it goes on with a new process.

        A cell that is only suspended has not ended: until it does, the session is as it was created.
        """
        if ended.promoted_to is not None or not (self._pristine and self._renewable) or self.lost:
            return ended
        try:
            process = await self._new_process()
        except ProcessError:
            return ended
        if self.lost:
            process.close()  # deleted meanwhile
            return ended
        self.process.close()
        self.process = process
        self._begun = False
        return replace(ended, promoted_to=0)
