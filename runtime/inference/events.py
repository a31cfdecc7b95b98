"""Trajectory events: everything that is said about a run while it goes on.

The loop emits them, an `EventLog` keeps them, the native API streams them as server-sent events (`id: <seq>`,
`event: <type>`, `data: <json>`), and the command line parses them with `parse_event` and draws them. Values only, no
I/O. What they carry (code, output, answers) is written by models and guest code: hostile text to whoever shows it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from runtime.inference.usage import Usage
from runtime.wire import CellError, Status


class StopReason(StrEnum):
    """Why a run that has an answer ended."""

    FINAL = "final"  # the model gave its final answer
    MAX_ITERATIONS = "max_iterations"  # out of iterations: the answer is the model's best from what was found


class ContextSummary(BaseModel):
    """What the root model is told about the context instead of the context."""

    type: Literal["none", "text", "json", "documents"]
    characters: int  # of the text, of the JSON text, or of all documents' texts together
    documents: int | None = None  # how many, with type `documents`


class RunError(BaseModel):
    """Why a run has no answer; `code` is one of `runtime.inference.errors`."""

    code: str
    message: str


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore")  # a newer server may say more

    run_id: str
    seq: int  # rises by one with every event of the run, from 0
    at: float  # unix seconds
    node: int = 0  # which run of the tree says it: 0 is the root, child runs are numbered as they begin


class RunStarted(_Event):
    type: Literal["run.started"] = "run.started"
    model: str
    context: ContextSummary


class IterationStarted(_Event):
    type: Literal["iteration.started"] = "iteration.started"
    iteration: int  # from 1


class ModelCompleted(_Event):
    """The root model's turn."""

    type: Literal["model.completed"] = "model.completed"
    iteration: int
    text: str
    usage: Usage
    duration_s: float


class HistoryCompacted(_Event):
    """The model's earlier turns were replaced by its own summary of them; the session is as it was."""

    type: Literal["history.compacted"] = "history.compacted"
    iteration: int
    characters_before: int
    characters_after: int
    summary: str


class CellStarted(_Event):
    type: Literal["cell.started"] = "cell.started"
    iteration: int
    code: str


class SubcallsStarted(_Event):
    """The running cell asked `count` prompts; each gets its own `subcall.completed`, in any order."""

    type: Literal["subcalls.started"] = "subcalls.started"
    iteration: int
    count: int
    kind: Literal["llm", "rlm"] = "llm"  # plain completions, or child runs


class ChildStarted(_Event):
    """A child run begins; everything it does follows under its `node`, up to `child.completed`."""

    type: Literal["child.started"] = "child.started"
    parent: int  # node of the run whose code asked for it
    index: int  # 0-based slot in its batch
    depth: int  # from 1
    model: str
    prompt_chars: int
    prompt_preview: str


class ChildCompleted(_Event):
    """With its answer's beginning, or with what the asking code sees instead."""

    type: Literal["child.completed"] = "child.completed"
    response_preview: str
    iterations: int
    sub_calls: int
    usage: Usage
    duration_s: float
    error: str | None = None


class SubcallCompleted(_Event):
    type: Literal["subcall.completed"] = "subcall.completed"
    iteration: int
    index: int  # 0-based slot in its batch
    model: str
    prompt_chars: int
    prompt_preview: str
    response_preview: str
    usage: Usage
    duration_s: float
    error: str | None = None  # what the code saw instead of an answer, when the call failed
    reused: bool = False  # an equal sub-call of this run was answered before: nothing was spent
    child: int | None = None  # the node of the child run that answered


LossReason = Literal["session_lost", "unreachable", "refused"]


class SessionRecovered(_Event):
    """A server lost the session; it was made again, with all its variables, by running its cells again."""

    type: Literal["session.recovered"] = "session.recovered"
    iteration: int
    reason: LossReason
    cells: int  # that were run again, besides what was under way
    duration_s: float


class RunDiverged(_Event):
    """Code that was run again after a loss did not do what it had done (time, true randomness): what the model has seen
    of earlier cells may not be what the session holds. Said once for a tree of runs."""

    type: Literal["run.diverged"] = "run.diverged"
    iteration: int


class ToolStarted(_Event):
    """The running cell calls a tool of the stack."""

    type: Literal["tool.started"] = "tool.started"
    iteration: int
    tool: str
    arguments_preview: str  # of their JSON


class ToolCompleted(_Event):
    type: Literal["tool.completed"] = "tool.completed"
    iteration: int
    tool: str
    http_status: int | None = None  # None: there was no HTTP reply
    response_bytes: int  # of the JSON of what the code got
    response_preview: str
    duration_s: float
    error: str | None = None  # what the code saw instead of a value, after "Error: "


class CellCompleted(_Event):
    type: Literal["cell.completed"] = "cell.completed"
    iteration: int
    cell: int
    status: Status
    stdout: str  # capped as the root model sees it
    stderr: str
    error: CellError | None = None
    execution_time: float


class RunCompleted(_Event):
    type: Literal["run.completed"] = "run.completed"
    answer: str
    stop_reason: StopReason
    iterations: int
    sub_calls: int
    usage: Usage  # root, children and all sub-calls together
    usage_by_model: dict[str, Usage] = Field(default_factory=dict)
    duration_s: float
    recoveries: int = 0  # lost sessions that were made again
    diverged: bool = False  # see `run.diverged`


class RunFailed(_Event):
    type: Literal["run.failed"] = "run.failed"
    error: RunError
    iterations: int = 0
    sub_calls: int = 0
    usage: Usage = Field(default_factory=Usage)  # what was spent all the same
    usage_by_model: dict[str, Usage] = Field(default_factory=dict)
    duration_s: float = 0.0
    partial_answer: str | None = None  # what the code had put into `answer["content"]` when a budget ended the run


TrajectoryEvent = Annotated[
    RunStarted
    | IterationStarted
    | ModelCompleted
    | HistoryCompacted
    | CellStarted
    | SubcallsStarted
    | ChildStarted
    | ChildCompleted
    | SubcallCompleted
    | ToolStarted
    | ToolCompleted
    | CellCompleted
    | SessionRecovered
    | RunDiverged
    | RunCompleted
    | RunFailed,
    Field(discriminator="type"),
]

_ADAPTER: TypeAdapter[TrajectoryEvent] = TypeAdapter(TrajectoryEvent)


def parse_event(data: str | bytes) -> TrajectoryEvent:
    """The event in the `data:` of one server-sent event. Raises pydantic.ValidationError on anything else."""
    return _ADAPTER.validate_json(data)


def frame_event(event: TrajectoryEvent) -> bytes:
    """One server-sent event. JSON has no raw line breaks, so a single `data:` line always holds it."""
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
