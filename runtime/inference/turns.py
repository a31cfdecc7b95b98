"""Calls of a run's own model: its turns, answers in the form that was asked for, a long history made short.

Used by the loop and by the direct path; what a call may cost is charged here, before it is made and after.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from runtime.inference.answer_format import Checked
from runtime.inference.errors import BudgetError, BudgetReason
from runtime.inference.events import HistoryCompacted, ModelCompleted, StopReason
from runtime.inference.llm import Completion
from runtime.inference.observation import CELL_CHARACTERS
from runtime.inference.parsing import FinalText, Reply, parse_reply
from runtime.inference.prompts import (
    CHARACTERS_PER_TOKEN,
    COMPACT_CALL,
    COMPACTED,
    REPAIR_CALL,
    Message,
    describe_invalid_answer,
)
from runtime.inference.run import Conversation

MAX_REPAIRS: Final = 2


@dataclass(frozen=True)
class Answer:
    text: str
    stop_reason: StopReason


async def ask_model(talk: Conversation, transcript: list[Message]) -> Reply:
    """The model's next turn, which joins the transcript without its reasoning."""
    started = time.monotonic()
    completion = await _complete(talk, transcript)
    talk.say(
        ModelCompleted(
            **talk.stamp(),
            iteration=talk.budget.iterations,
            text=completion.text,
            usage=completion.usage,
            duration_s=time.monotonic() - started,
        )
    )
    reply = parse_reply(completion.text)
    transcript.append(Message(role="assistant", content=reply.text))
    return reply


async def _complete(talk: Conversation, transcript: list[Message]) -> Completion:
    """One call. A child's is one of the tree's sub-calls, and shares their slots."""
    talk.budget.take_turn()
    async with talk.subcall_slots if talk.depth else nullcontext():
        await talk.attended.wait()
        with talk.budget.reserve(talk.model, count_characters(transcript)):
            completion = await talk.models.ask_turn(transcript, talk.model, "child" if talk.depth else "root")
    talk.budget.charge(talk.model, completion.usage)
    return completion


async def compact(talk: Conversation, transcript: list[Message], above_tokens: int) -> None:
    """Replace all turns of a history beyond `above_tokens` by the model's own summary of them; 0: never. The system
    prompt and the first message stay as they are, and so does everything in the session."""
    characters = count_characters(transcript)
    if not above_tokens or characters <= above_tokens * CHARACTERS_PER_TOKEN or len(transcript) <= 2:
        return
    last = transcript[-1]["content"]
    asked = [*transcript[:-1], Message(role="user", content=f"{last}\n\n{COMPACT_CALL}")]
    summary = parse_reply((await _complete(talk, asked)).text).text
    transcript[2:] = [Message(role="assistant", content=summary), Message(role="user", content=COMPACTED)]
    talk.say(
        HistoryCompacted(
            **talk.stamp(),
            iteration=talk.budget.iterations,
            characters_before=characters,
            characters_after=count_characters(transcript),
            summary=summary,
        )
    )


async def check_answer(talk: Conversation, answer: str) -> Checked:
    """Against the form that the caller asked for. One that is not in it is kept as the run's partial answer."""
    wanted = talk.question.answer_format
    if wanted is None:
        return Checked(answer, None)
    checked = await asyncio.to_thread(wanted.check, answer)
    if checked.problem is not None:
        talk.partial_answer = checked.text[:CELL_CHARACTERS]
    return checked


async def repair_answer(talk: Conversation, transcript: list[Message], text: str) -> str:
    """An answer after which no code is run, in the form that was asked for. Raises BudgetError when the model does not
    get it right."""
    checked = await check_answer(talk, text)
    for _ in range(MAX_REPAIRS):
        if checked.problem is None:
            break
        problem = f"{describe_invalid_answer(checked.problem)} {REPAIR_CALL}"
        transcript.append(Message(role="user", content=problem))
        reply = await ask_model(talk, transcript)
        checked = await check_answer(talk, reply.final.text if isinstance(reply.final, FinalText) else reply.text)
    if checked.problem is None:
        return checked.text
    raise BudgetError(
        BudgetReason.ITERATIONS,
        f"the turns ran out before the answer was what response_format asks for ({checked.problem}); "
        "raise max_iterations or ask for less",
    )


def count_characters(transcript: list[Message]) -> int:
    return sum(len(message["content"]) for message in transcript)
