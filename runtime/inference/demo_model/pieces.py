"""The stand-in as the sub-model: answers from the text in the prompt, by rules.

Called by `server.py` for every prompt that is not the root loop's. A prompt is a task (its first paragraph), then text:
files headed `<<<FILE number path>>>`, or lines that begin with their number. The task texts are written here too, so
that what is asked and what is understood stay together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from runtime.inference.demo_model.countables import COUNTABLES, Countable

_FILE_HEAD: Final = re.compile(r"^<<<FILE (\d+) [^\n]*>>>\n", re.MULTILINE)
_LINE_HEAD: Final = re.compile(r"^(\d+): ", re.MULTILINE)
_COUNT_TASK: Final = re.compile(r"Count the (?P<things>.+?) in each file below\.")
_CLASSIFY_TASK: Final = re.compile(r"Label each (?:numbered line|file) below with one of: (?P<labels>.+?)\. Judge")
_NEEDLE_TASK: Final = re.compile(r"what is the (?:special )?(?P<label>magic \w+) for (?P<name>.+?)\?", re.IGNORECASE)

_SENTIMENT: Final = {
    "positive": re.compile(
        r"good|great|excellent|loved?|loves|happy|best|nice|wonderful|amazing|fantastic|perfect|recommend|helpful|"
        r"works|fast|easy|pleased|delighted|thanks?|awesome|brilliant|enjoyed|reliable"
    ),
    "negative": re.compile(
        r"bad|terrible|awful|hated?|worst|broken|poor|horrible|disappoint\w+|slow|useless|refund|crash\w*|fail\w*|"
        r"errors?|angry|never|waste|annoying|unreliable|wrong"
    ),
}
_NO_LABEL: Final = "unknown"


def count_task(thing: Countable) -> str:
    return f"Count the {thing.task} in each file below. Reply with one line per file: NUMBER: COUNT"


def classify_task(labels: Sequence[str]) -> str:
    return (
        f"Label each numbered line below with one of: {', '.join(labels)}. Judge by what it says; "
        f"when none fits, say {_NO_LABEL}. Reply with one line each: NUMBER: LABEL"
    )


def answer_prompt(prompt: str) -> str:
    """The sub-model's reply; says so when the task is none of those it knows."""
    task, _, text = prompt.partition("\n\n")
    if match := _COUNT_TASK.match(task):
        by_task = {countable.task: countable for countable in COUNTABLES.values()}
        thing = by_task.get(match["things"])
        if thing is not None:
            return _reply_each(text, lambda part: str(thing.count(part)))
    if match := _CLASSIFY_TASK.match(task):
        labels = match["labels"].split(", ")
        return _reply_each(text, lambda part: choose_label(part, labels))
    if match := _NEEDLE_TASK.search(prompt):
        return _find_value(prompt, match["label"], match["name"].strip("\"'`"))
    return "I am scripted-demo, a stand-in that follows rules; this prompt is none of the tasks I know."


def choose_label(text: str, labels: Sequence[str]) -> str:
    """The label whose word (or, for sentiments, whose vocabulary) the text holds most often; the earlier on a tie."""
    words = re.findall(r"[^\W_]+", text.lower())
    flat = " ".join(words)

    def score(label: str) -> int:
        named = len(re.findall(rf"\b{re.escape(label.lower())}\b", flat)) if label.strip() else 0
        vocabulary = _SENTIMENT.get(label.lower())
        return named + (sum(bool(vocabulary.fullmatch(word)) for word in words) if vocabulary else 0)

    best = max(labels, key=score)
    if score(best):
        return best
    return next((label for label in labels if label.lower() in ("neutral", "other", "none")), _NO_LABEL)


def _reply_each(text: str, answer: Callable[[str], str]) -> str:
    """One `NUMBER: ANSWER` line for each file or numbered line of the text."""
    head = _FILE_HEAD if _FILE_HEAD.match(text) else _LINE_HEAD
    parts = head.split(text)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return "\n".join(f"{number}: {answer(part.removesuffix(chr(10)))}" for number, part in pairs)


def _find_value(text: str, label: str, name: str) -> str:
    pattern = rf"{re.escape(label)}s?\s+for\s+[\"'`]?{re.escape(name)}[\"'`]?\s*(?:is|are|:|=)+\s*:?\s*[\"'`]?([\w-]+)"
    match = re.search(pattern, text, re.IGNORECASE)
    return match[1] if match else f"The text gives no {label} for {name}."
