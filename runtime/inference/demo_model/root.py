"""The stand-in as the root model: which code comes next, given the question and what the code printed so far.

Called by `server.py` with the messages of the inference plane's loop (`runtime/inference/prompts.py`). It keeps nothing
between calls: the conversation says which step was last and how it ended. A plan is a list of steps; a step that ended
in an error is tried once more with everything before it, since the session may have lost its variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, TypeAdapter, field_validator

from runtime.inference.chat_request import EXCERPT_HEADS
from runtime.inference.demo_model import cells
from runtime.inference.demo_model.pieces import classify_task, count_task
from runtime.inference.demo_model.questions import (
    KNOWN_FORMS,
    Classify,
    Count,
    Needle,
    PairUsers,
    RankFiles,
    RankParts,
    Sought,
    Tally,
    Task,
)
from runtime.inference.demo_model.recognisers import parse_question
from runtime.inference.prompts import LAST_CALL, NO_CONTEXT


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


_PARTS: Final = TypeAdapter(list[_TextPart])
_QUESTION: Final = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_LINE: Final = re.compile(r"\n")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n")
_LABEL: Final = re.compile(r"^(?:the )?(?:question|query|q|task)\s*[:.]\s*", re.IGNORECASE)
_STEP: Final = re.compile(r"^# Step (?P<step>\d+) of \d+(?P<again>, again)?:", re.MULTILINE)
_RESULT: Final = re.compile(rf"^{re.escape(cells.RESULT_MARK)} ", re.MULTILINE)
_ERROR: Final = re.compile(r"^error: .*$|^Code block \d+ (?!ran to its end|raised ).*$", re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """A task, and the text beside the sentence that asks for it (None: there is nothing else)."""

    task: Task
    beside: str | None


class Message(BaseModel):
    """One message of the conversation; content in parts is joined to one text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str

    @field_validator("content", mode="before")
    @classmethod
    def _join_parts(cls, value: object) -> object:
        return "\n".join(part.text for part in _PARTS.validate_python(value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Step:
    """`say` is the model's prose before the code; `title` stands in the code's first line."""

    say: str
    title: str
    code: str


def is_root(messages: Sequence[Message]) -> bool:
    """Whether the loop is asking; anything else is a prompt to the sub-model."""
    first = messages[0]
    return first.role == "system" and "```repl" in first.content and "llm_query" in first.content


def next_turn(messages: Sequence[Message]) -> str:
    """The root model's reply."""
    question = _find_question(messages)
    asked = find_task(question)
    if asked is None:
        return _final_text(_unknown(question))
    observed = messages[-1].content
    last = next((m for m in reversed(messages) if m.role == "assistant"), None)
    step = _STEP.search(last.content) if last else None
    if step and _RESULT.search(observed):
        return "The output gives the result, so this is the answer.\nFINAL_VAR(result)"
    if LAST_CALL in observed:
        return _final_text("Not finished: the turns ran out before the scripted stand-in had a result.")
    has_context = NO_CONTEXT not in _first_user_text(messages)
    plan = build_plan(asked.task, None if has_context else asked.beside)
    if step is None:
        return _write(plan, 0)
    number = int(step["step"]) - 1
    error = _ERROR.search(observed)
    if error is None and number + 1 < len(plan):
        return _write(plan, number + 1)
    reason = error[0] if error else "the code printed no result"
    if step["again"]:
        return _final_text(f"The scripted stand-in could not finish: its code failed twice; {reason}")
    return _write_again(plan, number, reason)


def find_task(question: str) -> Asked | None:
    """The task of the whole question, or of a sentence at one of its ends: people put text and question in one."""
    task = parse_question(question)
    if task is not None:
        return Asked(task, None)
    for sentence in _at_the_ends(question):
        task = parse_question(_LABEL.sub("", sentence))
        if task is not None:
            return Asked(task, question.replace(sentence, "", 1).strip())
    return None


def _at_the_ends(text: str) -> Iterator[str]:
    """The last and the first paragraph, line and sentence; of a long text the service shows only its two ends."""
    begin, _, end = text.partition(EXCERPT_HEADS[1])
    begin = begin.partition(EXCERPT_HEADS[0])[2] or text
    for separator in (_PARAGRAPH, _LINE, _SENTENCE):
        for side, index in ((end or text, -1), (begin, 0)):
            parts = [part.strip() for part in separator.split(side) if part.strip()]
            if parts:
                yield parts[index]


def build_plan(task: Task, text: str | None = None) -> list[Step]:
    """The steps that answer the task; the first looks at the context, the last prints the result.

    `text`: what came with the question, where there is no context besides.
    """
    look = Step("First, what is the context?", "the context's shape", cells.LOOK)
    if text is not None:
        given = f"documents = [('question', {text!r})]\n\n"
        look = Step("The text came with the question.", "the text's shape", given + cells.SHAPE)
    match task:
        case Needle(label, name):
            code = _with_values(cells.NEEDLE, label=label, name=name)
            return [look, Step("The statement can be found by a search.", f"search for the {label}", code)]
        case Count(unit, Sought() as sought, negated):
            code = _with_values(cells.COUNT_MATCHES, unit=unit, negated=negated, **_sought_values(sought))
            return [look, _exact("count the matches", code)]
        case Count(unit):
            return [look, _exact(f"count the {unit}", _with_values(cells.COUNT_ALL, unit=unit))]
        case RankFiles(unit, top, Sought() as sought):
            what = "lines with it" if unit == "lines" else "mentions"
            code = _with_values(cells.RANK_BY_MATCHES, unit=unit, top=top, what=what, **_sought_values(sought))
            return [look, _exact("rank the files by matches", code)]
        case RankFiles(unit, top):
            code = _with_values(cells.RANK_BY_SIZE, unit=unit, top=top, what=unit)
            return [look, _exact(f"rank the files by {unit}", code)]
        case RankParts(part, by, top):
            cell = cells.COMMON_PARTS if by == "frequency" else cells.LONGEST_PARTS
            return [look, _exact(f"rank the {part} by {by}", _with_values(cell, part=part, top=top))]
        case Tally(thing, per_file):
            combine = _with_values(cells.TALLY, things=thing.plural, verb=thing.verb, per_file=per_file)
            return [look, *_subcall_steps(count_task(thing), cells.CUT_FILES, combine)]
        case Classify(unit, labels):
            cut = cells.CUT_FILES if unit == "files" else cells.CUT_LINES
            return [look, *_subcall_steps(classify_task(labels), cut, cells.CLASSIFY)]
        case PairUsers(label, labels):
            combine = _with_values(cells.PAIR_USERS, label=label)
            return [look, *_subcall_steps(classify_task(labels), cells.CUT_LINES, combine)]


def _subcall_steps(task: str, cut: str, combine: str) -> list[Step]:
    return [
        Step(
            "That needs reading, so the sub-model gets it in pieces. One piece first, to see how it replies.",
            "cut the context into prompts and try one",
            _with_values(cut + cells.TRY_ONE, task=task),
        ),
        Step(
            "The replies have the form that was asked for. Now all pieces in batches, and the sum in code.",
            "ask about every piece and combine the replies",
            cells.ASK_ALL + combine,
        ),
    ]


def _exact(title: str, code: str) -> Step:
    return Step("Plain code is exact here.", title, code)


def _sought_values(sought: Sought) -> dict[str, object]:
    return {
        "sought": sought.text,
        "whole_word": sought.whole_word,
        "ignore_case": sought.ignore_case,
        "anchor": sought.anchor,
    }


def _with_values(code: str, **values: object) -> str:
    return "".join(f"{name} = {value!r}\n" for name, value in values.items()) + code


def _first_user_text(messages: Sequence[Message]) -> str:
    return next((m.content for m in messages if m.role == "user"), "")


def _find_question(messages: Sequence[Message]) -> str:
    """The loop's first message; what earlier or later texts say between such tags is not the question."""
    first = _first_user_text(messages)
    tagged = _QUESTION.findall(first)
    return str(tagged[-1]) if tagged else first


def _write(plan: Sequence[Step], index: int) -> str:
    step = plan[index]
    return f"{step.say}\n\n```repl\n# Step {index + 1} of {len(plan)}: {step.title}\n{step.code.rstrip()}\n```"


def _write_again(plan: Sequence[Step], index: int, reason: str) -> str:
    code = "\n".join(step.code for step in plan[: index + 1]).rstrip()
    head = f"# Step {index + 1} of {len(plan)}, again: {plan[index].title}"
    return f"That did not work ({reason[:200]}). Once more from the start.\n\n```repl\n{head}\n{code}\n```"


def _final_text(answer: str) -> str:
    return f"FINAL({answer!r})"


def _unknown(question: str) -> str:
    asked = " ".join(question.split())[:200]
    forms = "\n".join(f"  {form}" for form in KNOWN_FORMS)
    return (
        f"I am scripted-demo, a stand-in that follows rules and understands nothing. {asked!r} is none of the forms "
        f"I know:\n{forms}\nWords to look for are best put in quotes. For real questions, set a model."
    )
