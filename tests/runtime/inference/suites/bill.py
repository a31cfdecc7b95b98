"""What a run over the stand-in must have cost, worked out from what was said and not from what was reported.

The stand-in counts four characters as a token, over everything that it is sent. The root's transcript is built here
once more, with the loop's own texts, from the trajectory's events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from runtime.inference.demo_model.pieces import classify_task
from runtime.inference.events import CellCompleted, ModelCompleted, TrajectoryEvent
from runtime.inference.observation import describe_cell
from runtime.inference.prices import Price
from runtime.inference.prompts import Message, open_transcript
from runtime.inference.question import Question
from runtime.inference.usage import Usage
from runtime.wire import CellReply
from tests.runtime.inference.suites.haystack import CHARACTERS_PER_TOKEN
from tests.runtime.inference.suites.ledger import LABELS, Entry

ROOT: Final = "scripted-demo"
SUB: Final = "scripted-demo-sub"
PRICES: Final = {ROOT: Price(input=1.25, output=10), SUB: Price(input=0.25, output=2)}
LINES_PER_PROMPT: Final = 100  # what the stand-in puts into one
_MARK: Final = "0" * 8  # as long as a run's own


def bill_root(question: Question, events: Iterable[TrajectoryEvent]) -> Usage:
    """Of the root model's turns, each with one code block or none."""
    transcript = open_transcript(question)
    total = Usage()
    for event in events:
        match event:
            case ModelCompleted(text=text):
                total += _price(ROOT, [message["content"] for message in transcript], text)
                transcript.append(Message(role="assistant", content=text))
            case CellCompleted():
                transcript.append(Message(role="user", content=describe_cell(1, _as_reply(event), _MARK)))
    return total


def bill_labelling(entries: Sequence[Entry]) -> tuple[int, Usage]:
    """How many prompts it takes to have every entry labelled, and what those cost."""
    total, prompts = Usage(), 0
    for start in range(0, len(entries), LINES_PER_PROMPT):
        numbered = list(enumerate(entries[start : start + LINES_PER_PROMPT], start))
        shown = "\n".join(f"{number}: {entry.line}" for number, entry in numbered)
        reply = "\n".join(f"{number}: {entry.worded}" for number, entry in numbered)
        total += _price(SUB, [f"{classify_task(LABELS)}\n\n{shown}"], reply)
        prompts += 1
    return prompts, total


def _price(model: str, sent: list[str], reply: str) -> Usage:
    prompt = sum(map(len, sent)) // CHARACTERS_PER_TOKEN + 1
    completion = len(reply) // CHARACTERS_PER_TOKEN + 1
    cost = (prompt * PRICES[model].input + completion * PRICES[model].output) / 1e6
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, cost=cost)


def _as_reply(event: CellCompleted) -> CellReply:
    return CellReply(
        session_id="",
        cell=event.cell,
        status=event.status,
        stdout=event.stdout,
        stderr=event.stderr,
        error=event.error,
        execution_time=event.execution_time,
    )
