"""Answers what suspended code asks for: batches of prompts, for the sub-model or for child runs.

Called by the loop. Any code in the session can call the door, so the payload is checked by schema; what a call costs is
charged to the run before it is made; what fails becomes a string that begins with `Error: `, never an exception in the
code. Running out of budget ends the run.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from runtime.inference.errors import RunError
from runtime.inference.events import SubcallCompleted, SubcallsStarted
from runtime.inference.llm import Completion
from runtime.inference.outcome import Outcome, build_failure
from runtime.inference.run import Run
from runtime.inference.session import HOST_FUNCTIONS, RLM_QUERY
from runtime.inference.usage import Usage
from runtime.wire import CellReply, HostCall

MAX_BATCH: Final = 10_000
PREVIEW_CHARACTERS: Final = 200
MAX_REPLY_CHARACTERS: Final = 5 * 1024 * 1024  # at most 4 bytes each: what the sandbox takes in one request
_TOO_LONG: Final = (
    "Error: the answers of this batch are too long to be handed over at once; ask fewer prompts in one batch"
)


class SubCallRequest(BaseModel):
    """The payload of a `llm_query` or `rlm_query` call."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompts: list[str] = Field(min_length=1, max_length=MAX_BATCH)
    model: str | None = Field(default=None, max_length=200)


class SubCallReply(BaseModel):
    """Same length and order as the prompts."""

    answers: list[str]


async def answer_call(run: Run, call: HostCall) -> CellReply:
    """Answer one suspended call and let the cell go on. Raises BudgetError when the batch does not fit; one that is
    refused counts as one, so that code which asks nonsense without end is stopped too."""
    try:
        if call.name not in HOST_FUNCTIONS:
            raise ValueError(call.name)
        request = SubCallRequest.model_validate_json(call.payload)
    except ValueError as error:
        run.budget.take_subcalls(1)
        return await run.session.resume(call, error=_describe_refusal(call, error))
    by_child = call.name == RLM_QUERY and run.budget.limits.max_depth > 0
    run.budget.take_subcalls(len(request.prompts))
    run.say(
        SubcallsStarted(
            **run.stamp(),
            iteration=run.budget.iterations,
            count=len(request.prompts),
            kind="rlm" if by_child else "llm",
        )
    )
    with run.session.waiting():
        answers = await _answer_all(run, request, by_child)
    return await run.session.resume(call, result=SubCallReply(answers=fit_answers(answers)).model_dump_json())


def fit_answers(answers: list[str], room: int = MAX_REPLY_CHARACTERS) -> list[str]:
    """What can be handed over at once, the shortest first; in place of the others a string that says so. `room` is in
    characters of JSON."""
    sizes = [len(to_json(answer).decode()) + 1 for answer in answers]
    left = room - len('{"answers":[]}') - sum(min(size, len(_TOO_LONG) + 3) for size in sizes)
    fitted = list(answers)
    for index in sorted(range(len(answers)), key=sizes.__getitem__):
        more = max(0, sizes[index] - len(_TOO_LONG) - 3)
        if more > left:
            fitted[index] = _TOO_LONG
        else:
            left -= more
    return fitted


async def _answer_all(run: Run, request: SubCallRequest, by_child: bool) -> list[str]:
    """In the order of the prompts. What ends the run in one slot cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_answer_one(run, index, prompt, request.model, by_child))
                for index, prompt in enumerate(request.prompts)
            ]
    except ExceptionGroup as failures:
        raise _first_of(failures) from None
    return [task.result() for task in tasks]


def _first_of(failures: ExceptionGroup[Exception]) -> Exception:
    """What ended the run. A defect is shown rather than what it caused."""
    expected, defects = failures.split(RunError)
    first: Exception = defects or expected or failures
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first


async def _answer_one(run: Run, index: int, prompt: str, model: str | None, by_child: bool) -> str:
    started = time.monotonic()
    ask = partial(run.ask_child, run, index, prompt, model) if by_child else partial(_ask_model, run, prompt, model)
    limits = run.budget.limits
    if limits.reuse_answers and not (by_child and limits.fork_children):  # a copy's answer depends on its variables
        level = str(run.depth) if by_child else "llm"
        outcome, reused = await run.memo.answer((level, model or "", prompt), ask)
    else:
        outcome, reused = await ask(), False
    if reused:
        run.metrics.reused_answers.inc()
    run.say(
        SubcallCompleted(
            **run.stamp(),
            iteration=run.budget.iterations,
            index=index,
            model=outcome.model,
            prompt_chars=len(prompt),
            prompt_preview=prompt[:PREVIEW_CHARACTERS],
            response_preview=outcome.text[:PREVIEW_CHARACTERS],
            usage=Usage() if reused else outcome.usage,
            duration_s=time.monotonic() - started,
            error=outcome.error,
            reused=reused,
            child=outcome.child,
        )
    )
    return outcome.text


async def _ask_model(run: Run, prompt: str, model: str | None) -> Outcome:
    """One plain completion. The slot is held for the call only, never while a run waits for its children."""
    name = model or run.models.sub_model
    async with run.subcall_slots:
        await run.attended.wait()
        with run.budget.reserve(name, len(prompt)):
            outcome = await run.models.ask_sub(prompt, model)
    if isinstance(outcome, Completion):
        run.budget.charge(name, outcome.usage)
        return Outcome(name, outcome.text, usage=outcome.usage)
    return build_failure(name, outcome.message)


def _describe_refusal(call: HostCall, error: ValueError) -> str:
    if call.name not in HOST_FUNCTIONS:
        return f"there is no host function {call.name[:100]!r}"
    problems = error.error_count() if isinstance(error, ValidationError) else 1
    return f"the payload of {call.name} has {problems} wrong fields; use {call.name} or {call.name}_batched"
