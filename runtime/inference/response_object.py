"""OpenAI's response object over a run: its fields by the names and with the values that the SDK expects.

Built from the run's detail and what is kept of the request, so it looks the same in the reply, in a stream and when it
is asked for later.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from runtime.inference.events import StopReason
from runtime.inference.prompts import CHARACTERS_PER_TOKEN
from runtime.inference.response_record import ResponseRecord
from runtime.inference.responses_request import TextConfig
from runtime.inference.run_record import RunDetail, RunStatus
from runtime.inference.usage import Usage

PREFIX: Final = "resp_"

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]
IncompleteReason = Literal["max_output_tokens", "max_iterations"]


class OutputText(BaseModel):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[str] = Field(default_factory=list)
    logprobs: list[str] = Field(default_factory=list)


class OutputMessage(BaseModel):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class ErrorBody(BaseModel):
    code: str
    message: str


class IncompleteDetails(BaseModel):
    reason: IncompleteReason


class InputTokensDetails(BaseModel):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(BaseModel):
    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputTokensDetails = Field(default_factory=InputTokensDetails)
    output_tokens: int
    output_tokens_details: OutputTokensDetails = Field(default_factory=OutputTokensDetails)
    total_tokens: int


class RunNote(BaseModel):
    """The `rlm` object: what OpenAI's has no field for."""

    run_id: str
    stop_reason: StopReason | None
    iterations: int
    sub_calls: int
    duration_s: float
    cost: float | None
    partial_answer: str | None


class ResponseObject(BaseModel):
    id: str
    object: Literal["response"] = "response"
    created_at: float
    completed_at: float | None
    status: ResponseStatus
    background: bool
    error: ErrorBody | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputMessage]
    parallel_tool_calls: bool = True
    previous_response_id: str | None
    reasoning: None = None
    store: bool
    temperature: float | None = None
    text: TextConfig
    tool_choice: Literal["auto"] = "auto"
    tools: list[str] = Field(default_factory=list)
    top_p: float | None = None
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None
    rlm: RunNote


def build_response(record: ResponseRecord, detail: RunDetail) -> ResponseObject:
    """Of a run at any time."""
    text, reason = _bound_answer(record, detail)
    is_running = detail.status is RunStatus.RUNNING
    return ResponseObject(
        id=PREFIX + detail.id,
        created_at=detail.created_at,
        completed_at=detail.finished_at if detail.status is RunStatus.COMPLETED else None,
        status=_status(detail.status, reason),
        background=record.background,
        error=ErrorBody(code=detail.error.code, message=detail.error.message) if detail.error else None,
        incomplete_details=IncompleteDetails(reason=reason) if reason else None,
        instructions=record.instructions,
        max_output_tokens=record.max_output_tokens,
        metadata=record.metadata,
        model=record.model,
        output=[] if text is None else [build_message(detail.id, text, reason)],
        previous_response_id=record.previous_response_id,
        store=record.store,
        text=record.text,
        usage=None if is_running else _build_usage(detail.usage),
        rlm=RunNote(
            run_id=detail.id,
            stop_reason=detail.stop_reason,
            iterations=detail.iterations,
            sub_calls=detail.sub_calls,
            duration_s=detail.duration_s,
            cost=detail.usage.cost,
            partial_answer=detail.partial_answer,
        ),
    )


def build_message(run_id: str, text: str, reason: IncompleteReason | None) -> OutputMessage:
    status: Literal["completed", "incomplete"] = "incomplete" if reason else "completed"
    return OutputMessage(id=f"msg_{run_id}", status=status, content=[OutputText(text=text)])


def _bound_answer(record: ResponseRecord, detail: RunDetail) -> tuple[str | None, IncompleteReason | None]:
    """`max_output_tokens` bounds the answer, counted as four characters a token."""
    if detail.answer is None:
        return None, None
    limit = record.max_output_tokens and record.max_output_tokens * CHARACTERS_PER_TOKEN
    if limit is not None and len(detail.answer) > limit:
        return detail.answer[:limit], "max_output_tokens"
    return detail.answer, "max_iterations" if detail.stop_reason is StopReason.MAX_ITERATIONS else None


def _status(status: RunStatus, reason: IncompleteReason | None) -> ResponseStatus:
    match status:
        case RunStatus.RUNNING:
            return "in_progress"
        case RunStatus.COMPLETED:
            return "incomplete" if reason else "completed"
        case RunStatus.FAILED:
            return "failed"
        case RunStatus.CANCELLED:
            return "cancelled"


def _build_usage(usage: Usage) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
