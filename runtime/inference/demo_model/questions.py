"""The tasks that the stand-in can do, as values, and the question forms that ask for them.

`recognisers.py` reads a question as one of these tasks; `root.py` turns a task into steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from runtime.inference.demo_model.countables import COUNTABLES, Countable

Unit = Literal["lines", "files", "words", "characters", "times"]


@dataclass(frozen=True)
class Sought:
    """What lines or files are searched for, exactly as the question writes it."""

    text: str
    whole_word: bool = False
    ignore_case: bool = False
    anchor: Literal["anywhere", "start", "end"] = "anywhere"


@dataclass(frozen=True)
class Needle:
    """What is the magic number for NAME?"""

    label: str
    name: str


@dataclass(frozen=True)
class Count:
    """How many lines contain X? How many files are there? `sought` is None for all of them."""

    unit: Unit
    sought: Sought | None = None
    negated: bool = False


@dataclass(frozen=True)
class RankFiles:
    """Which `top` files have the most lines (`unit`), or the most lines with, or mentions (`times`) of, `sought`?"""

    unit: Unit
    top: int = 1
    sought: Sought | None = None


@dataclass(frozen=True)
class RankParts:
    """What are the 10 most common words or lines? Which are the longest lines?"""

    part: Literal["words", "lines"]
    by: Literal["frequency", "length"]
    top: int


@dataclass(frozen=True)
class Tally:
    """Across all files, how many classes are defined, and which file defines the most? Counted by sub-calls."""

    thing: Countable
    per_file: bool = False  # the answer lists every file


@dataclass(frozen=True)
class Classify:
    """Classify each line as A, B or C, and count each. Labelled by sub-calls."""

    unit: Literal["lines", "files"]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class PairUsers:
    """List all pairs of users who both have a line that is A, of the labels A, B and C. Labelled by sub-calls."""

    label: str
    labels: tuple[str, ...]


Task = Needle | Count | RankFiles | RankParts | Tally | Classify | PairUsers

KNOWN_FORMS: Final = (
    "What is the magic number for NAME?",
    'How many lines (or files) contain (do not contain, start with, end with) "X"?',
    'How many times does "X" occur?  How many lines (or files, words, characters) are there?',
    'Which file has the most lines?  Which 3 files mention "X" most often?',
    "What are the 10 most common words (or lines)?  What is the longest line?",
    f"Across all files, how many {'/'.join(COUNTABLES)} are there, and which file has the most?",
    "Classify each line (or file) as A, B or C, and count each label.",
    "List all pairs of users who both have a line that is A, of the labels A, B and C.",
)
