"""The question forms that the stand-in knows, and how a question is recognised as one of them.

Pure text matching, called by `root.py`. Nothing here knows a particular corpus: names, words and labels come from the
question. Words in quotes are taken exactly as written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from runtime.inference.demo_model.countables import COUNTABLES, SYNONYMS, Countable

Unit = Literal["lines", "files", "words", "characters", "times"]


@dataclass(frozen=True)
class Needle:
    """What is the magic number for NAME?"""

    label: str
    name: str


@dataclass(frozen=True)
class Count:
    """How many lines contain X? How many files are there? `needle` is None for all of them."""

    unit: Unit
    needle: str | None = None
    whole_word: bool = False
    ignore_case: bool = False


@dataclass(frozen=True)
class Rank:
    """Which `top` files have the most lines (`unit`), or mention `needle` most often (unit `times`)?"""

    unit: Unit
    top: int
    needle: str | None = None
    whole_word: bool = False
    ignore_case: bool = False


@dataclass(frozen=True)
class CommonWords:
    """What are the 10 most common words?"""

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


Task = Needle | Count | Rank | CommonWords | Tally | Classify

KNOWN_FORMS: Final = (
    "What is the magic number for NAME?",
    'How many lines (or files) contain "X"?  How many times does "X" occur?',
    "How many lines (or files, words, characters) are there?",
    'Which file has the most lines?  Which 3 files mention "X" most often?',
    "What are the 10 most common words?",
    f"Across all files, how many {'/'.join(COUNTABLES)} are there, and which file has the most?",
    "Classify each line (or file) as A, B or C, and count each label.",
)

_QUOTED: Final = re.compile(r"""["“](?P<d>[^"”]+)["”]|`(?P<b>[^`]+)`|(?<!\w)'(?P<s>[^']+)'(?!\w)""")
_IGNORE_CASE: Final = re.compile(r",?\s*\(?(?:ignoring (?:the )?case|case[- ]insensitive(?:ly)?)\)?", re.IGNORECASE)
_WHERE: Final = r"(?:\s+(?:in|of|within|across|from|mentioned in)\s+(?:the|this|these|all|it)\b.*)?"
_HOLD: Final = r"(?:contain|contains|mention|mentions|include|includes|containing|mentioning|with)"
_THINGS: Final = "|".join(sorted(map(re.escape, [*COUNTABLES, *SYNONYMS]), key=len, reverse=True))
_NUMBER_WORDS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class _Target:
    text: str
    whole_word: bool


def parse_question(text: str) -> Task | None:
    """The task that the question asks for; None when it is none of the known forms."""
    ignore_case = _IGNORE_CASE.search(text) is not None
    plain = " ".join(_IGNORE_CASE.sub("", text).split()).rstrip(" ?.!")
    for recognise in _RECOGNISERS:
        task = recognise(plain, ignore_case)
        if task is not None:
            return task
    return None


def _classify(plain: str, _: bool) -> Task | None:
    match = re.search(
        r"\bclassify (?:each|every|all|the) (?:of the )?(?P<unit>[\w-]+)\b.*?\b(?:as|into)\b(?: one of)?:?"
        r"(?: either)? (?P<labels>[^.;?]+)",
        plain,
        re.IGNORECASE,
    )
    if not match:
        return None
    listed = re.split(r",? (?:and|then) (?:count|tally|say|tell|give|report|how)\b", match["labels"], flags=re.I)[0]
    labels = [part.strip(" \"'`") for part in re.split(r",\s*(?:or |and )?|\s+(?:or|and)\s+", listed)]
    labels = list(dict.fromkeys(filter(None, labels)))
    if len(labels) < 2:
        return None
    is_file = match["unit"].lower().rstrip("s") in ("file", "document")
    return Classify("files" if is_file else "lines", tuple(labels))


def _tally(plain: str, _: bool) -> Task | None:
    match = re.search(
        rf"\b(?:how many|the most|count (?:all )?(?:the )?|number of) ?(?:\w+ )?(?P<thing>{_THINGS})\b",
        plain,
        re.IGNORECASE,
    )
    if not match:
        return None
    thing = match["thing"].lower()
    per_file = re.match(r"for (?:each|every) (?:file|document)", plain, re.IGNORECASE) is not None
    return Tally(COUNTABLES[SYNONYMS.get(thing, thing)], per_file)


def _needle(plain: str, _: bool) -> Task | None:
    match = re.fullmatch(
        r"what (?:is|was|are) (?:the|all (?:the )?)\s*(?P<label>(?:[\w-]+ ){0,3}?"
        rf"(?:number|code|word|password|key|value|token|id|uuid|phrase))s? (?:for|of) (?P<name>.+?){_WHERE}",
        plain,
        re.IGNORECASE,
    )
    if not match or match["label"].lower().startswith(("total", "common", "most")):
        return None
    label = re.sub(r"^special ", "", match["label"], flags=re.IGNORECASE)
    return Needle(label, _target(match["name"]).text)


def _count(plain: str, ignore_case: bool) -> Task | None:
    times = re.search(
        r"\bhow (?:many times|often) (?:does|do|is|are|was) (?P<x>.+?) "
        r"(?:occurs?|appears?|used|mentioned|come up)\b",
        plain,
        re.IGNORECASE,
    )
    if times:
        target = _target(times["x"])
        return Count("times", target.text, target.whole_word, ignore_case)
    holding = re.search(rf"\bhow many (?P<unit>lines|files|documents) {_HOLD} (?P<x>.+)", plain, re.IGNORECASE)
    if holding:
        target = _target(holding["x"])
        return Count(_unit(holding["unit"]), target.text, target.whole_word, ignore_case)
    every = re.search(
        r"\bhow many (?P<unit>lines|files|documents|words|characters)(?: (?:of text|in total|altogether))?"
        r"(?: (?:are there|are in|is|there are|does|do|in)\b|$)",
        plain,
        re.IGNORECASE,
    )
    return Count(_unit(every["unit"])) if every else None


def _rank(plain: str, ignore_case: bool) -> Task | None:
    which = r"\b(?:which|what)(?: are the)? (?:(?P<n>\d+|[a-z]+) )?(?:files?|documents?) "
    most = re.search(
        rf"{which}(?:has|have|contains?|is|are)(?: the)?"
        r" (?:longest|largest|biggest|most (?P<unit>lines|words|characters))"
        rf"(?: (?:that )?{_HOLD} (?P<x>.+))?",
        plain,
        re.IGNORECASE,
    )
    if most:
        target = _target(most["x"]) if most["x"] else None
        unit = _unit(most["unit"] or "characters")
        if target is None:
            return Rank(unit, _top(most["n"]))
        return Rank(unit, _top(most["n"]), target.text, target.whole_word, ignore_case)
    often = re.search(
        rf"{which}(?:mentions?|contains?|uses?|includes?) (?P<x>.+?) (?:the )?(?:most often|most|most frequently)\b",
        plain,
        re.IGNORECASE,
    )
    if often:
        target = _target(often["x"])
        return Rank("times", _top(often["n"]), target.text, target.whole_word, ignore_case)
    return None


def _common_words(plain: str, _: bool) -> Task | None:
    match = re.search(
        r"\b(?:what|which)(?: is| are)?(?: the)? (?:(?P<n>\d+|[a-z]+) )?most (?:common|frequent) words?\b",
        plain,
        re.IGNORECASE,
    )
    return CommonWords(_top(match["n"], 10 if plain.lower().endswith("words") else 1)) if match else None


# The first that fits counts: special forms before general ones.
_RECOGNISERS: Final[tuple[Callable[[str, bool], Task | None], ...]] = (
    _classify,
    _common_words,
    _rank,
    _count,
    _tally,
    _needle,
)


def _target(phrase: str) -> _Target:
    """What is looked for: the quoted part when there is one, else the bare words without where to look."""
    quoted = _QUOTED.search(phrase)
    whole_word = re.match(r"the words? ", phrase, re.IGNORECASE) is not None
    if quoted:
        return _Target(quoted["d"] or quoted["b"] or quoted["s"], whole_word)
    bare = re.sub(r"^the (?:words?|strings?|text|phrase|term|name) ", "", phrase, flags=re.IGNORECASE)
    return _Target(re.sub(f"{_WHERE}$", "", bare, flags=re.IGNORECASE).strip(), whole_word)


def _unit(word: str) -> Unit:
    units: dict[str, Unit] = {"documents": "files", "lines": "lines", "words": "words", "characters": "characters"}
    return units.get(word.lower(), "files")


def _top(word: str | None, default: int = 1) -> int:
    if word is None:
        return default
    if word.isdigit():
        return max(1, min(int(word), 1000))
    lower = word.lower()
    return _NUMBER_WORDS.index(lower) + 1 if lower in _NUMBER_WORDS else default
