"""Answers what suspended code asks for: batches of prompts for the sub-model.

Called by the loop. Any code in the session can call the door, so the payload is checked by schema; what a call costs is
charged to the run before it is made; what fails becomes a string that begins with `Error: `, never an exception in the
code. Running out of budget ends the run.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.inference.events import SubcallCompleted, SubcallsStarted
from runtime.inference.llm import Completion, SubCallFailure
from runtime.inference.run import Run
from runtime.inference.session import LLM_QUERY
from runtime.inference.usage import Usage
from runtime.wire import CellReply, HostCall

MAX_BATCH: Final = 10_000
PREVIEW_CHARACTERS: Final = 200
MAX_REPLY_CHARACTERS: Final = 5 * 1024 * 1024  # at most 4 bytes each: what the sandbox takes in one request
_TOO_LONG: Final = "the answers of this batch are too long to be handed over at once; ask fewer prompts in one batch"


class SubCallRequest(BaseModel):
    """The payload of a `llm_query` call."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompts: list[str] = Field(min_length=1, max_length=MAX_BATCH)
    model: str | None = Field(default=None, max_length=200)


class SubCallReply(BaseModel):
    """Same length and order as the prompts."""

    answers: list[str]


async def answer_call(run: Run, call: HostCall) -> CellReply:
    """Answer one suspended call and let the cell go on. Raises BudgetError when the batch does not fit."""
    try:
        if call.name != LLM_QUERY:
            raise ValueError(call.name)
        request = SubCallRequest.model_validate_json(call.payload)
    except ValueError as error:
        return await run.session.resume(call, error=_describe_refusal(call, error))
    run.budget.take_subcalls(len(request.prompts))
    run.say(SubcallsStarted(**run.stamp(), iteration=run.budget.iterations, count=len(request.prompts)))
    with run.session.waiting():
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_answer_one(run, index, prompt, request.model))
                for index, prompt in enumerate(request.prompts)
            ]
    reply = SubCallReply(answers=[task.result() for task in tasks]).model_dump_json()
    if len(reply) > MAX_REPLY_CHARACTERS:
        return await run.session.resume(call, error=_TOO_LONG)
    return await run.session.resume(call, result=reply)


async def _answer_one(run: Run, index: int, prompt: str, model: str | None) -> str:
    async with run.subcall_slots:
        await run.attended.wait()
        started = time.monotonic()
        outcome = await run.models.ask_sub(prompt, model)
        duration = time.monotonic() - started
    match outcome:
        case Completion(text, usage):
            answer, error = text, None
        case SubCallFailure(message):
            answer, usage, error = f"Error: {message}", Usage(), message
    run.usage += usage
    run.say(
        SubcallCompleted(
            **run.stamp(),
            iteration=run.budget.iterations,
            index=index,
            model=model or run.models.sub_model,
            prompt_chars=len(prompt),
            prompt_preview=prompt[:PREVIEW_CHARACTERS],
            response_preview=answer[:PREVIEW_CHARACTERS],
            usage=usage,
            duration_s=duration,
            error=error,
        )
    )
    return answer


def _describe_refusal(call: HostCall, error: ValueError) -> str:
    if call.name != LLM_QUERY:
        return f"there is no host function {call.name[:100]!r}"
    problems = error.error_count() if isinstance(error, ValidationError) else 1
    return f"the payload of {LLM_QUERY} has {problems} wrong fields; use llm_query or llm_query_batched"
