"""What there is to see of a run besides its events: the summary in lists, and the whole.

Kept up to date by `run_handle.py` while the run goes on, stored by `run_archive.py` at its end, served by
`records_api.py`.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from runtime.inference.budget import Limits
from runtime.inference.errors import RunCancelledError
from runtime.inference.events import (
    ContextSummary,
    IterationStarted,
    ModelCompleted,
    RunCompleted,
    RunError,
    RunFailed,
    StopReason,
    SubcallCompleted,
    ToolCompleted,
    TrajectoryEvent,
)
from runtime.inference.list_page import Listed
from runtime.inference.question import Question
from runtime.inference.usage import Usage

PREVIEW_CHARACTERS: Final = 300


class RunStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"  # by its caller, who asked for that or went away


class RunSummary(Listed):
    """One run in a list. Times are unix seconds. While it goes on, calls and usage are what is known so far."""

    status: RunStatus
    created_at: float
    finished_at: float | None = None
    model: str
    key_name: str  # whose it is
    question: str  # its first PREVIEW_CHARACTERS
    context: ContextSummary
    iterations: int = 0
    sub_calls: int = 0
    usage: Usage = Field(default_factory=Usage)
    duration_s: float = 0.0
    error: RunError | None = None
    answer_preview: str | None = None


class RunLimits(BaseModel):
    """Of this run; None: there is no such limit."""

    model_config = ConfigDict(from_attributes=True)

    max_iterations: int
    max_subcalls: int
    timeout: float
    max_consecutive_errors: int
    max_depth: int
    max_tokens: int | None
    max_cost: float | None
    fork_children: bool
    reuse_answers: bool


class RunDetail(RunSummary):
    """With its `question` whole."""

    answer: str | None = None
    partial_answer: str | None = None
    stop_reason: StopReason | None = None
    usage_by_model: dict[str, Usage] = Field(default_factory=dict)
    recoveries: int = 0  # lost sessions that were made again
    diverged: bool = False  # a replay did not do what the first time did
    limits: RunLimits

    def begun(self) -> RunDetail:
        """As it was when the run began."""
        known = {"id", "created_at", "model", "key_name", "question", "context", "limits"}
        return RunDetail.model_validate(self.model_dump(include=known) | {"status": RunStatus.RUNNING})

    def summary(self) -> RunSummary:
        fields = self.model_dump(include=set(RunSummary.model_fields))
        return RunSummary.model_validate(fields | {"question": self.question[:PREVIEW_CHARACTERS]})


class RunRecord:
    """The detail of one run, as its events tell it."""

    def __init__(self, run_id: str, key_name: str, model: str, question: Question, limits: Limits) -> None:
        self._detail = RunDetail(
            id=run_id,
            status=RunStatus.RUNNING,
            created_at=time.time(),
            model=model,
            key_name=key_name,
            question=question.text,
            context=question.summary,
            limits=RunLimits.model_validate(limits),
        )

    @property
    def key_name(self) -> str:
        return self._detail.key_name

    @property
    def status(self) -> RunStatus:
        return self._detail.status

    def detail(self) -> RunDetail:
        """As it is now."""
        now = self._detail.model_copy()
        if now.status is RunStatus.RUNNING:
            now.duration_s = time.time() - now.created_at
        return now

    def note(self, event: TrajectoryEvent) -> None:
        detail = self._detail
        match event:
            case IterationStarted(node=0, iteration=iteration):
                detail.iterations = iteration
            case ModelCompleted(usage=usage):
                detail.usage += usage
            case SubcallCompleted(child=child, usage=usage):
                detail.sub_calls += 1
                detail.usage += usage if child is None else Usage()  # a child's calls were told by itself
            case ToolCompleted():
                detail.sub_calls += 1
            case RunCompleted():
                detail.status, detail.answer, detail.stop_reason = RunStatus.COMPLETED, event.answer, event.stop_reason
                detail.recoveries, detail.diverged = event.recoveries, event.diverged
                detail.answer_preview = event.answer[:PREVIEW_CHARACTERS]
                self._end(event)
            case RunFailed(error=error):
                was_cancelled = error.code == RunCancelledError.code
                detail.status = RunStatus.CANCELLED if was_cancelled else RunStatus.FAILED
                detail.error, detail.partial_answer = error, event.partial_answer
                self._end(event)
            case _:
                pass

    def _end(self, event: RunCompleted | RunFailed) -> None:
        detail = self._detail
        detail.finished_at, detail.duration_s = event.at, event.duration_s
        detail.iterations, detail.sub_calls = event.iterations, event.sub_calls
        detail.usage, detail.usage_by_model = event.usage, event.usage_by_model
