"""One session process as the server sees it: send a request, get how it ended, kill it in time.

A process id names whoever is the head now; it changes when a checkpoint is promoted. It comes from the kernel with each
message, and is held as a pidfd so that a kill never hits a stranger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from runtime.sandbox.channel import Channel
from runtime.sandbox.frames import Head
from runtime.sandbox.usage import Meter, Usage, resident_bytes

HELD_SECONDS: Final = 0.05
BEGIN_SECONDS: Final = 2.0  # that a head may take to begin a request before it is killed all the same
BEGIN_POLL_SECONDS: Final = 0.002

log = logging.getLogger(__name__)


class End(StrEnum):
    """Why a head ended."""

    TIMEOUT = "timeout"  # killed at its deadline
    INTERRUPTED = "interrupted"  # killed because nobody wants the cell any more
    MEMORY = "memory"  # killed because the pod ran short of memory
    DIED = "died"  # trapped, exited, was killed by somebody else


@dataclass(frozen=True)
class Answer:
    """The request was done: the guest's own JSON, and what the session process says about it."""

    head: Head
    body: bytearray


@dataclass(frozen=True)
class Call:
    """The guest waits in a host call."""

    head: Head
    body: bytearray


@dataclass(frozen=True)
class Ended:
    """The head is gone. `promoted_to` is the cell whose state the new head has; None: no process is left."""

    end: End
    detail: str
    promoted_to: int | None
    used: Usage = field(default_factory=Usage)  # by the cell that ended with it


Outcome = Answer | Call | Ended


@dataclass(frozen=True)
class _Request:
    """What was asked last, to be asked again if it was certainly not begun."""

    head: Head
    body: bytes
    descriptors: Sequence[int]  # the caller's, open until the outcome is known


class SessionProcess:
    """At most one request is under way; its outcome is awaited by `request` or `resume`."""

    def __init__(self, on_gone: Callable[[SessionProcess], None]) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = False
        self.crowded = False  # set by `weights`: its cell competes for the CPU, so that forks can wait
        self._closed = False  # by the server: nobody wants it any more
        self.pid: int | None = None
        self._worker: int | None = None  # where the guest runs in a process of its own, which ends with the head
        self.meter = Meter()
        self._pidfd: int | None = None
        self._channel: Channel | None = None
        self._waiter: asyncio.Future[Outcome] | None = None
        self._asked = False  # the head does a request, or is suspended in it
        self._deadline: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None  # of a request that will be killed when it has begun
        self._killed_for: End | None = None
        self._why = ""
        self._epoch = 0  # rises with each promotion; a request of an older one is not run
        self._number = 0  # of the last request
        self._unbegun: _Request | None = None  # it is under way, and not known to have been begun
        self._cell = self._cell_asked = 0  # after which the head's state is, and will be when it has done the request
        self._on_gone = on_gone
        self.unreported: Ended | None = None  # the head ended while nobody waited; the next reply must say so

    def attach(self, channel: Channel) -> None:
        self._channel = channel

    def request(
        self, head: Head, body: bytes, seconds: float | None, descriptors: Sequence[int] = ()
    ) -> Awaitable[Outcome]:
        """Send a request and wait for its outcome, at most `seconds` of the guest's running. What is sent is not held
        until then, if the caller does not: it may be large."""
        return self._exchange({"t": "request", **head}, body, seconds, descriptors)

    def resume(self, body: bytes, seconds: float) -> Awaitable[Outcome]:
        """Answer the host call in which the guest waits."""
        return self._exchange({"t": "result"}, body, seconds, ())

    def branch(self, descriptor: int, *, suspended: bool) -> None:
        """Tell the process to fork a branch onto the socket `descriptor`; it does so only if it is (not) suspended."""
        if self._channel is not None:
            self._channel.send({"t": "fork", "suspended": suspended}, descriptors=[descriptor])

    def become_branch_of(self, source: SessionProcess) -> None:
        """It is a fork of the head of `source`."""
        self.unreported, self._cell = source.unreported, source._cell
        self._cell_asked = source._cell_asked
        self.meter.inherit(source.meter)

    def kill(self, end: End) -> None:
        """SIGKILL the head; whoever waits for its outcome is told `end`, whatever the head still says."""
        if self._killed_for is None:
            self._killed_for = end
        self.meter.stop()
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """To the head, whoever that is now."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def stop(self) -> None:
        """Interrupt the request that is under way, if there is one; whoever waits for its outcome is told so."""
        self._end_begun(End.INTERRUPTED, asyncio.get_running_loop().time() + BEGIN_SECONDS)

    def _end_begun(self, end: End, latest: float) -> None:
        """Kill the head when it has taken the request, or at `latest` on the loop's clock.

        Until then it may be taking the checkpoint of the state before, without which the session would end with it.
        """
        if self._waiter is None or self._waiter.done():
            return
        loop = asyncio.get_running_loop()
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._channel is not None and self._channel.is_unread and loop.time() < latest:
            self._ending = loop.call_later(BEGIN_POLL_SECONDS, self._end_begun, end, latest)
        else:
            self.kill(end)

    def resident_bytes(self) -> int:
        return sum(resident_bytes(pid) for pid in (self.pid, self._worker) if pid is not None)

    def close(self) -> None:
        """End the process and its checkpoint: both see the socket's end, and a head that runs is killed."""
        self.gone = self._closed = True
        if self._channel is not None:
            self._channel.close()
        self.kill(End.INTERRUPTED)
        self._release_pidfd()
        self._settle(Ended(End.INTERRUPTED, "closed", None, self.meter.used()))
        if not self.ready.done():
            self.ready.cancel()

    def received(self, head: Head, body: bytearray, pid: int) -> None:
        """A message of the process (called by its channel)."""
        kind = head.get("t")
        if kind == "hello":
            self._identify(pid)
            self._worker = head.get("worker")
            self.meter.follow(self._worker or pid, int(head["memory"]))
            if not self.ready.done():
                self.ready.set_result(None)
        elif kind == "promoted":
            self._identify(pid)
            self._epoch = int(head["epoch"])
            self.meter.stop()
            self.meter.follow(pid, None)
            self._promote(int(head["cell"]), int(head["begun"]))
        elif kind == "died":
            self._why = f"{head.get('kind')}: {head.get('detail')}"
            self.meter.pause(head)
            if not self.ready.done():
                log.warning("a session process did not start", extra={"why": self._why})
        elif self._killed_for is not None:
            # Said in the moment of the kill: the state that follows is the checkpoint's, so this did not happen.
            return
        elif kind == "done":
            self._cell = self._cell_asked
            self.meter.pause(head)
            self._settle(Answer(head, body))
        elif kind == "call":
            self.meter.pause(head)
            self._settle(Call(head, body))

    def ended(self) -> None:
        """No process is left on the other side, or it misbehaved and was cut off (called by the channel)."""
        self.gone = True
        self.kill(End.DIED)
        self._release_pidfd()
        self.meter.stop()
        self._settle(Ended(self._killed_for or End.DIED, self._why, None, self.meter.used()))
        if not self.ready.done():
            self.ready.cancel()
        self._on_gone(self)

    async def _exchange(self, head: Head, body: bytes, seconds: float | None, descriptors: Sequence[int]) -> Outcome:
        missed = self.unreported
        if missed is not None and head["t"] == "result":
            # The head died while its cell was suspended: its successor knows of no call.
            self.unreported = None
            return missed
        if self.gone or self._channel is None:
            end = End.INTERRUPTED if self._closed else End.DIED
            return Ended(end, self._why or "the process had ended before", None)
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._killed_for = None
        self._why = ""
        self._asked = True
        if head["t"] == "request":
            self._number += 1
            self._cell_asked = int(head["cell"])
            head = {**head, "number": self._number}
            self._unbegun = _Request(head, body, descriptors)
        self._send(head, body, descriptors)
        del body
        self._deadline = None if seconds is None else loop.call_later(seconds, self._time_out)
        try:
            return await self._outcome(self._waiter)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()

    def _send(self, head: Head, body: bytes, descriptors: Sequence[int]) -> None:
        self.meter.begin(afresh=head["t"] == "request")
        if self._channel is not None:
            self._channel.send({**head, "epoch": self._epoch, "crowded": self.crowded}, body, descriptors)

    def _promote(self, cell: int, begun: int) -> None:
        """Another process is the head, with the state after `cell`; the one before had begun the request `begun`.

        If somebody else killed that one, and it had not begun the request that is under way nor done what the other
        lacks, then nothing has happened yet: the request goes to the new head, and its reply says so.
        """
        request, is_same_state = self._unbegun, cell == self._cell
        ended = Ended(self._killed_for or End.DIED, self._why, cell, self.meter.used())
        self._cell, self._unbegun = cell, None
        if request is None or begun >= self._number or self._killed_for is not None or not is_same_state:
            self._settle(ended)
        else:
            self.unreported = ended
            self._send(request.head, request.body, request.descriptors)

    async def _outcome(self, waiter: asyncio.Future[Outcome]) -> Outcome:
        """What `waiter` is told. It is not kept with the process afterwards: a large one would stay in memory."""
        outcome = await asyncio.shield(waiter)
        if self._waiter is waiter:
            self._waiter = None
        return outcome

    def _time_out(self) -> None:
        if self._waiter is None or self._waiter.done():
            return
        if self._channel is not None and self._channel.is_held:
            # It has answered in time: the rest of a large answer waits for room in this process.
            self._deadline = asyncio.get_running_loop().call_later(HELD_SECONDS, self._time_out)
        else:
            self._end_begun(End.TIMEOUT, asyncio.get_running_loop().time() + BEGIN_SECONDS)

    @property
    def is_under_way(self) -> bool:
        """There is something to interrupt, or it ended and whoever asked left without being told."""
        return not self.gone and (self._asked or self._waiter is not None)

    async def interrupt(self) -> Outcome | None:
        """Kill what runs or is suspended and wait until the state before it is back; what has ended by itself meanwhile
        is told as it ended. None: nothing was under way. An idle head is never killed: it may have no checkpoint yet.
        """
        if self.gone:
            return None
        if not self.is_under_way:
            missed, self.unreported = self.unreported, None  # it died while it was suspended
            return missed
        if self._waiter is None or (self._asked and self._waiter.done()):
            self._waiter = asyncio.get_running_loop().create_future()
        self.stop()
        return await self._outcome(self._waiter)

    def _settle(self, outcome: Outcome) -> None:
        self._unbegun = None
        self._asked = isinstance(outcome, Call)
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(outcome)
        elif isinstance(outcome, Ended):
            self.unreported = outcome

    def _identify(self, pid: int) -> None:
        self._release_pidfd()
        self.pid = pid
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)

    def _release_pidfd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
