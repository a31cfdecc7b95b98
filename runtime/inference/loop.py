"""The recursive loop: ask the root model, run its code, answer the calls that suspend it, show what happened, finish.

`runner.py` calls `find_answer` for each run and owns everything around it: the session, the deadline, the events of
start and end. Calls of the model are in `turns.py`, what it may spend in `budget.py`, how replies are read in
`parsing.py`, what the model is told in `prompts.py` and `observation.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.inference.events import CellCompleted, CellStarted, IterationStarted, StopReason
from runtime.inference.observation import cap_stderr, cap_stdout, describe_cell
from runtime.inference.parsing import FinalText, FinalVariable, Reply
from runtime.inference.prompts import (
    EMPTY_FINAL,
    LAST_CALL,
    NO_ACTION,
    Message,
    describe_invalid_answer,
    open_transcript,
)
from runtime.inference.replay import complete_cell, final_answer
from runtime.inference.run import Run
from runtime.inference.session import REOPEN, name_variable
from runtime.inference.turns import Answer, ask_model, check_answer, compact, repair_answer
from runtime.wire import CellReply, Status


@dataclass(frozen=True)
class Turn:
    """What the code of one reply did: a final answer, or what to show the model."""

    answer: str | None
    observation: str
    ok: bool


async def find_answer(run: Run) -> Answer:
    """Turn after turn until the model finishes. Raises RunError when it cannot: see errors.py."""
    transcript = open_transcript(run.question, run.tools.offers, run.models.sub_window)
    while run.budget.take_iteration():
        with run.tracing.iteration(run.budget.iterations):
            answer = await take_turn(run, transcript)
        if answer is not None:
            return answer
    return await ask_for_best(run, transcript)


async def take_turn(run: Run, transcript: list[Message]) -> Answer | None:
    """The model's reply, what its code did, and what the model is shown of it; an answer when it finished."""
    await compact(run, transcript, run.compact_above_tokens)
    run.say(IterationStarted(**run.stamp(), iteration=run.budget.iterations))
    reply = await ask_model(run, transcript)
    turn = await act(run, reply)
    if turn.answer is not None:
        checked = await check_answer(run, turn.answer)
        if checked.problem is None:
            return Answer(checked.text, StopReason.FINAL)
        await complete_cell(run, REOPEN)
        shown = [turn.observation] if turn.observation else []
        turn = Turn(None, "\n\n".join([*shown, describe_invalid_answer(checked.problem)]), ok=False)
    run.budget.note_outcome(turn.ok)
    transcript.append(Message(role="user", content=turn.observation))
    return None


async def act(run: Run, reply: Reply) -> Turn:
    """Run the blocks in order, up to the first that fails; then a final answer in the text counts."""
    shown: list[str] = []
    run.metrics.code_generated.inc(len(reply.blocks))
    for number, code in enumerate(reply.blocks, start=1):
        cell = await run_cell(run, code)
        if (answer := await final_answer(run, cell)) is not None:
            return Turn(answer, "", ok=True)
        shown.append(describe_cell(number, cell, run.mark))
        if cell.status is not Status.OK:
            if left := len(reply.blocks) - number:
                shown.append(f"The {left} code blocks after it were not run.")
            return Turn(None, "\n\n".join(shown), ok=False)
    match reply.final:
        case FinalText(text):
            return Turn(text, "\n\n".join(shown), ok=True)
        case FinalVariable(name):
            cell = await run_cell(run, name_variable(name))
            answer = await final_answer(run, cell)
            return Turn(answer, "\n\n".join([*shown, describe_cell(len(shown) + 1, cell, run.mark)]), ok=False)
    if reply.empty_final:
        return Turn(None, "\n\n".join([*shown, EMPTY_FINAL]), ok=False)
    return Turn(None, "\n\n".join(shown) or NO_ACTION, ok=bool(shown))


async def run_cell(run: Run, code: str) -> CellReply:
    """Run one cell to its end, with what is said of it."""
    run.say(CellStarted(**run.stamp(), iteration=run.budget.iterations, code=code))
    with run.tracing.cell(code) as span:
        cell, parts = await complete_cell(run, code)
        span.ended(cell, parts)
    run.metrics.cell_ended(cell.status)
    run.say(
        CellCompleted(
            **run.stamp(),
            iteration=run.budget.iterations,
            cell=cell.cell,
            status=cell.status,
            stdout=cap_stdout(cell),
            stderr=cap_stderr(cell),
            error=cell.error,
            execution_time=cell.execution_time,
        )
    )
    return cell


async def ask_for_best(run: Run, transcript: list[Message]) -> Answer:
    """Out of turns: one last call for the best answer from what was found; its code is not run."""
    transcript[-1] = Message(role="user", content=f"{transcript[-1]['content']}\n\n{LAST_CALL}")
    reply = await ask_model(run, transcript)
    text = reply.text
    match reply.final:
        case FinalText(final):
            text = final
        case FinalVariable(name):
            cell = await run_cell(run, name_variable(name))
            text = await final_answer(run, cell) or text
    text = text or run.partial_answer or "No answer was found."
    return Answer(await repair_answer(run, transcript, text), StopReason.MAX_ITERATIONS)
