"""The runs of this process: each in a task of its own, for as long as somebody waits for it.

The HTTP handlers start runs here and attend them. A run whose last waiter is gone is cancelled at once (a dropped
stream) or after a linger (a dropped plain request, since the SDK's retry comes after the disconnect); while it lingers
no new model call begins. A retry joins the run that it repeats, so that it is not paid twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from runtime.inference.admission import Admission
from runtime.inference.budget import Limits
from runtime.inference.engine import Engine
from runtime.inference.errors import DrainingError
from runtime.inference.events import RunCompleted, TrajectoryEvent
from runtime.inference.question import Question
from runtime.inference.run import Caller, Narrator
from runtime.inference.runner import run_question

HELD: Final = 60.0  # seconds that a finished run can still be joined
DRAIN_TIMEOUT: Final = 20.0  # seconds; below the 30 that Kubernetes grants by default
CANCEL_TIMEOUT: Final = 5.0  # seconds that a cancelled run gets to end its session


@dataclass(frozen=True)
class RequestIdentity:
    """When two requests are the same one: the key's name, and the caller's idempotency key or the body's hash."""

    key_name: str
    token: str


class RunHandle:
    """One run. `events` has everything said so far and to come."""

    def __init__(self, engine: Engine, question: Question, limits: Limits, caller: Caller) -> None:
        self.id = secrets.token_hex(16)
        self.events: asyncio.Queue[TrajectoryEvent] = asyncio.Queue()
        self._attended = asyncio.Event()
        self._waiters = 0
        self._linger: asyncio.TimerHandle | None = None
        narrator = Narrator(self.id, self.events.put_nowait)
        self.task = asyncio.create_task(run_question(engine, question, limits, narrator, self._attended, caller))
        self.task.add_done_callback(_retrieve)

    @contextmanager
    def attend(self, linger: float) -> Iterator[None]:
        """Somebody waits. Whoever leaves last before the end cancels the run after `linger` seconds."""
        self._waiters += 1
        self._attended.set()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        try:
            yield
        finally:
            self._waiters -= 1
            if self._waiters == 0 and not self.task.done():
                self._attended.clear()
                self._linger = asyncio.get_running_loop().call_later(linger, self.task.cancel)

    async def finished(self, within: float | None = None) -> bool:
        """Whether the run ended, waiting at most `within` seconds."""
        done, _ = await asyncio.wait({self.task}, timeout=within)
        return bool(done)

    def result(self) -> RunCompleted:
        """Of a finished run. Raises what the run raised; DrainingError when the service ended it."""
        if self.task.cancelled():
            raise DrainingError("the service is shutting down; ask again")
        return self.task.result()


def _retrieve(task: asyncio.Task[RunCompleted]) -> None:
    """Nobody may be left to ask for the outcome; the runner has logged it."""
    if not task.cancelled():
        task.exception()


class Hosting:
    """Owned by the application."""

    def __init__(self, engine: Engine, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission
        self._active: set[RunHandle] = set()
        self._joinable: dict[RequestIdentity, RunHandle] = {}
        self._draining = False

    def start(self, question: Question, limits: Limits, caller: Caller) -> RunHandle:
        """Begin a run. Attend it at once, or it waits before its first model call.

        Raises DrainingError, and RateLimitedError for a key that has as many as it may."""
        if self._draining:
            raise DrainingError("the service is shutting down; ask again")
        self._admission.begin_run(caller.key_name)
        handle = RunHandle(self._engine, question, limits, caller)
        self._active.add(handle)
        handle.task.add_done_callback(lambda _: self._admission.end_run(caller.key_name))
        handle.task.add_done_callback(lambda _: self._active.discard(handle))
        return handle

    def offer(self, identity: RequestIdentity, handle: RunHandle) -> None:
        """Let a repeat of this request join the run, until some time after its end."""
        self._joinable[identity] = handle

        def forget() -> None:
            if self._joinable.get(identity) is handle:
                del self._joinable[identity]

        loop = asyncio.get_running_loop()
        handle.task.add_done_callback(lambda _: loop.call_later(HELD, forget))

    def join(self, identity: RequestIdentity) -> RunHandle | None:
        """The run that this request repeats. One that was given up or failed is not joined: a repeat tries anew."""
        handle = self._joinable.get(identity)
        if handle is None or handle.task.cancelled() or handle.task.cancelling():
            return None
        if handle.task.done() and handle.task.exception() is not None:
            return None
        return handle

    async def drain(self) -> None:
        """No new runs; those under way get some time to finish, then they are cancelled."""
        self._draining = True
        tasks = {handle.task for handle in self._active}
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=DRAIN_TIMEOUT)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CANCEL_TIMEOUT)

    @property
    def draining(self) -> bool:
        return self._draining
