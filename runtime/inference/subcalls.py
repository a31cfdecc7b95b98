"""Answers what suspended code asks for: batches of prompts, for the sub-model or for child runs; tools elsewhere.

Called by `replay.py`, which runs the cells. What a call costs is charged to the run before it is made; what fails
becomes a string that begins with `Error: `, never an exception in the code. Running out of budget ends the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial

from runtime.inference.calls import RLM_QUERY, SubCallRequest, parse_call, render_answers
from runtime.inference.errors import RunError
from runtime.inference.events import SubcallCompleted, SubcallsStarted
from runtime.inference.journal import Attempt, CallKey
from runtime.inference.llm import Completion
from runtime.inference.outcome import Outcome, build_failure
from runtime.inference.run import Run
from runtime.inference.tool_calls import PREVIEW_CHARACTERS, answer_tool_call
from runtime.inference.usage import Usage
from runtime.wire import CellReply, HostCall


async def answer_call(run: Run, attempt: Attempt, call: HostCall) -> CellReply:
    """Answer one suspended call and let the cell go on. What the cell was answered before its session was lost is not
    asked again. Raises BudgetError when the batch does not fit; a call that is refused counts as one, so that code
    which asks nonsense without end is stopped too."""
    if (tool := run.tools.find(call.name)) is not None:
        return await answer_tool_call(run, attempt, tool, call)
    request = parse_call(call)
    if isinstance(request, str):
        ((key, known),) = attempt.take(call.name, None, [call.payload])
        if known is None:
            run.budget.take_subcalls(1)
            attempt.answered(key, request)
        return await run.session.resume(call, error=request)
    slots = attempt.take(call.name, request.model, request.prompts)
    missing = [index for index, (_, answer) in enumerate(slots) if answer is None]
    if missing:
        by_child = call.name == RLM_QUERY and run.budget.limits.max_depth > 0
        run.budget.take_subcalls(len(missing))
        run.say(
            SubcallsStarted(
                **run.stamp(),
                iteration=run.budget.iterations,
                count=len(missing),
                kind="rlm" if by_child else "llm",
            )
        )
        with run.session.waiting():
            await _answer_all(run, attempt, request, by_child, {index: slots[index][0] for index in missing})
    answers = [attempt.record.answers[key] for key, _ in slots]
    return await run.session.resume(call, result=render_answers(answers))


async def _answer_all(
    run: Run, attempt: Attempt, request: SubCallRequest, by_child: bool, keys: dict[int, CallKey]
) -> None:
    """The prompts with these indices; `attempt` takes the answers. What ends the run in one slot cancels the others.

    Plain calls are made by as many tasks as may be in flight, each one after the other, so that what is behind a call
    begins in the moment in which it has ended, and a large batch is not a crowd of tasks that wait."""
    groups = _group_equal(run, request, by_child, keys)
    left = iter(groups)

    async def work() -> None:
        for indices in left:
            text = await _answer_equal(run, indices, request.prompts[indices[0]], request.model, by_child)
            for index in indices:
                attempt.answered(keys[index], text)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(len(groups) if by_child else min(len(groups), run.subcall_share)):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise _first_of(failures) from None


def _group_equal(run: Run, request: SubCallRequest, by_child: bool, indices: Iterable[int]) -> list[list[int]]:
    """Which of them are answered together: those with equal prompts, or each by itself."""
    if not _is_reusing(run, by_child):
        return [[index] for index in indices]
    groups: dict[str, list[int]] = {}
    for index in indices:
        groups.setdefault(request.prompts[index], []).append(index)
    return list(groups.values())


def _is_reusing(run: Run, by_child: bool) -> bool:
    limits = run.budget.limits
    return limits.reuse_answers and not (by_child and limits.fork_children)  # a copy's answer depends on its variables


def _first_of(failures: ExceptionGroup[Exception]) -> Exception:
    """What ended the run. A defect is shown rather than what it caused."""
    expected, defects = failures.split(RunError)
    first: Exception = defects or expected or failures
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first


async def _answer_equal(run: Run, indices: list[int], prompt: str, model: str | None, by_child: bool) -> str:
    """One call for all slots of a batch that have this prompt."""
    started = time.monotonic()
    first = indices[0]
    ask = partial(run.ask_child, run, first, prompt, model) if by_child else partial(_ask_model, run, prompt, model)
    if _is_reusing(run, by_child):
        level = str(run.depth) if by_child else "llm"
        outcome, reused = await run.memo.answer((level, model or "", prompt), ask)
    else:
        outcome, reused = await ask(), False
    for index in indices:
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
        reused = True
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
