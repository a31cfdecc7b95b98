"""One run in a task of its own, for as long as somebody waits for it, or unattended.

Made by `hosting.py`. A run whose last waiter is gone is cancelled at once (a dropped stream) or after a linger (a
dropped plain request, since the SDK's retry comes after the disconnect); while it lingers no new model call begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from runtime.inference.budget import Limits
from runtime.inference.caller import Caller
from runtime.inference.engine import Engine
from runtime.inference.errors import InferenceError, RunCancelledError
from runtime.inference.event_log import EventLog
from runtime.inference.events import RunCompleted, RunError, RunFailed, TrajectoryEvent
from runtime.inference.question import Question
from runtime.inference.run import Narrator
from runtime.inference.run_record import RunRecord, RunStatus
from runtime.inference.runner import build_cancellation, run_question

CANCEL_TIMEOUT: Final = 5.0  # seconds that a cancelled run gets to end its session


@dataclass(frozen=True)
class Origin:
    """What is to be kept of the request that started a run."""

    request: bytes | None = None  # what the endpoint itself needs to tell of the run later
    is_stored: bool = True  # whether the run may be stored at all


NOTHING: Final = Origin()


class RunHandle:
    """`log` has everything said so far and to come, `record` what that comes to."""

    def __init__(
        self, engine: Engine, question: Question, limits: Limits, caller: Caller, run_id: str, origin: Origin
    ) -> None:
        self.id = run_id
        self.origin = origin
        self.log = EventLog()
        self.record = RunRecord(run_id, caller.key_name, engine.settings.served_model, question, limits)
        self._narrator = Narrator(run_id, self._note)
        self._attended = asyncio.Event()
        self._waiters = 0
        self._goes_on = False
        self._linger: asyncio.TimerHandle | None = None
        self._reason: InferenceError | None = None
        self.task = asyncio.create_task(
            run_question(engine, question, limits, self._narrator, self._attended, caller, self._why_cancelled)
        )
        self.task.add_done_callback(self._close)

    @property
    def status(self) -> RunStatus:
        return self.record.status

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
            if self._waiters == 0 and not self._goes_on and not self.task.done():
                self._attended.clear()
                self._linger = asyncio.get_running_loop().call_later(linger, self._abandon)

    def go_on(self) -> None:
        """From now on the run needs nobody who waits."""
        self._goes_on = True
        self._attended.set()

    async def cancel(self, reason: InferenceError | None = None) -> None:
        """End the run if it goes on, and wait for that, though not for long."""
        if not self.task.done():
            self._reason = self._reason or reason or build_cancellation()
            self.task.cancel()
            await self.finished(CANCEL_TIMEOUT)

    async def finished(self, within: float | None = None) -> bool:
        """Whether the run ended, waiting at most `within` seconds."""
        done, _ = await asyncio.wait({self.task}, timeout=within)
        return bool(done)

    def result(self) -> RunCompleted:
        """Of a finished run. Raises what the run raised, or why it was cancelled."""
        if self.task.cancelled():
            raise self._why_cancelled()
        return self.task.result()

    def _abandon(self) -> None:
        self._reason = self._reason or RunCancelledError("the run was cancelled, since nobody waited for it any more")
        self.task.cancel()

    def _why_cancelled(self) -> InferenceError:
        return self._reason or build_cancellation()

    def _note(self, event: TrajectoryEvent) -> None:
        self.log.append(event)
        self.record.note(event)

    def _close(self, task: asyncio.Task[RunCompleted]) -> None:
        """Nobody may be left to ask for the outcome; the runner has logged it. A task cancelled before it began
        said nothing."""
        if not task.cancelled():
            task.exception()
        if not isinstance(self.log.last, RunCompleted | RunFailed):
            reason = self._why_cancelled()
            error = RunError(code=reason.code, message=reason.message)
            self._note(RunFailed(**self._narrator.stamp(), error=error))
        self.log.close()
