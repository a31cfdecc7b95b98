"""Reads a question as one of the tasks of `questions.py`, or as none of them.

Pure text matching, called by `root.py`. Nothing here knows a particular corpus: names, words and labels come from the
question. A pattern must fit the whole question, because a condition that goes unread would make the answer wrong; then
it is better to know nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from runtime.inference.demo_model.countables import COUNTABLES, SYNONYMS
from runtime.inference.demo_model.questions import (
    Classify,
    Count,
    Needle,
    PairUsers,
    RankFiles,
    RankParts,
    Sought,
    Tally,
    Task,
    Unit,
)

# Words that stand for the whole context: they restrict nothing.
_WHOLE: Final = (
    r"(?:(?:the|this|these|all|of|my|your|given|provided|whole|entire|source) )*"
    r"(?:context|texts?|input|corpus|data|documents?|files?|folder|logs?|lines|sources?|code|codebase)"
)
_TOTAL: Final = r"(?:,? (?:in total|altogether|overall))?"
_TAIL: Final = rf"{_TOTAL}(?:,? (?:in|within|across|inside|of|over|throughout|from|mentioned in) {_WHOLE})?{_TOTAL}"
_LEAD: Final = rf"(?:(?:across|in|over|within) {_WHOLE},? )?"
_FILES: Final = r"(?:files?|documents?)"
_TOP: Final = r"(?:(?P<top>\d+|two|three|four|five|six|seven|eight|nine|ten) )?"
_THINGS: Final = "|".join(sorted(map(re.escape, [*COUNTABLES, *SYNONYMS]), key=len, reverse=True))
_HOLD: Final = (
    r"(?:(?:that|which) )?(?P<hold>contain(?:s|ing)?|mention(?:s|ing)?|includ(?:es?|ing)|ha(?:s|ve|ving)|with|"
    r"start(?:s|ing)? with|begin(?:s|ning)? with|end(?:s|ing)? (?:with|in))"
)
_QUOTED: Final = re.compile(r"""["“](?P<d>[^"”]+)["”]|`(?P<b>[^`]+)`|'(?P<s>[^']+)'""")
_KIND: Final = re.compile(r"the (?:exact )?(?P<kind>words?|strings?|text|phrase|term|name) ", re.IGNORECASE)
_IGNORE_CASE: Final = re.compile(r",?\s*\(?(?:ignoring (?:the )?case|case[- ]insensitive(?:ly)?)\)?", re.IGNORECASE)
_NUMBER_WORDS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LONGEST_QUESTION: Final = 500  # characters
_LONGEST_BARE: Final = 4  # words; a longer phrase without quotes may hold conditions


@dataclass(frozen=True)
class _Asked:
    """The question on one line, without final punctuation and case remark."""

    text: str
    ignore_case: bool

    def match(self, pattern: str) -> re.Match[str] | None:
        return re.fullmatch(pattern, self.text, re.IGNORECASE)


def parse_question(text: str) -> Task | None:
    """The task that the question asks for; None when it is none of the known forms."""
    plain = " ".join(_IGNORE_CASE.sub("", text).split()).rstrip(" ?.!")
    if len(plain) > _LONGEST_QUESTION:
        return None
    asked = _Asked(plain, _IGNORE_CASE.search(text) is not None)
    return next((task for recognise in _RECOGNISERS if (task := recognise(asked)) is not None), None)


def _classify(asked: _Asked) -> Task | None:
    match = asked.match(
        r"(?:please )?classify (?:each|every|all|the)(?: of the)? (?P<unit>\w+)\b[^,:]*? (?:as|into)"
        r"(?: one of| either)?:? (?P<labels>.+?)(?:,? (?:and|then) (?:count|tally|say|tell|give|report|how)\b.*)?"
    )
    if not match:
        return None
    labels = _labels(match["labels"])
    if len(labels) < 2:
        return None
    is_file = match["unit"].lower().rstrip("s") in ("file", "document")
    return Classify("files" if is_file else "lines", labels)


def _pair_users(asked: _Asked) -> Task | None:
    match = asked.match(
        r"list (?:all )?(?:the )?pairs of users (?:who|that) both have (?:a|at least one) line (?:that is|labelled) "
        r"(?P<label>[^,]+?),? of the labels (?P<labels>.+)"
    )
    if not match:
        return None
    label, labels = match["label"].strip("\"'`"), _labels(match["labels"])
    return PairUsers(label, labels) if label in labels else None


def _labels(text: str) -> tuple[str, ...]:
    """Those of `A, B or C`, each once."""
    labels = [part.strip(" \"'`") for part in re.split(r",\s*(?:or |and )?|\s+(?:or|and)\s+", text)]
    return tuple(dict.fromkeys(filter(None, labels)))


def _tally(asked: _Asked) -> Task | None:
    defines = r"(?:defines|has|contains|declares|mentions|lists)"
    is_there = r"(?: (?:are|were) (?:there|defined|declared|mentioned|listed|used))?"
    most = rf"(?:,? and which {_FILES} {defines} (?:the )?most(?: of them)?)?"
    forms = (
        rf"{_LEAD}how many (?P<thing>{_THINGS}){is_there}{_TAIL}{most}{_TAIL}",
        rf"(?P<each>for (?:each|every) {_FILES}),? how many (?P<thing>{_THINGS}){is_there}(?: (?:in it|does it \w+))?",
        rf"count (?:all )?(?:the )?(?P<thing>{_THINGS}){_TAIL}",
        rf"count (?:all )?(?:the )?(?P<thing>{_THINGS}) (?P<each>(?:in|of|for) (?:each|every) {_FILES})",
        rf"{_LEAD}which {_FILES} {defines} (?:the )?most (?P<thing>{_THINGS}){_TAIL}",
    )
    for form in forms:
        if match := asked.match(form):
            thing = match["thing"].lower()
            return Tally(COUNTABLES[SYNONYMS.get(thing, thing)], bool(match.groupdict().get("each")))
    return None


def _needle(asked: _Asked) -> Task | None:
    match = asked.match(
        r"what (?:is|was|are) (?:the|all(?: the)?) (?:special )?(?P<label>(?:(?!total|most)[\w-]+ ){0,3}?"
        rf"(?:number|code|word|password|key|value|token|id|uuid|phrase))s? (?:for|of) (?P<name>.+?){_TAIL}"
    )
    name = _sought(match["name"], ignore_case=False) if match else None
    return Needle(match["label"], name.text) if match and name else None


def _count(asked: _Asked) -> Task | None:
    units = rf"(?P<unit>lines|{_FILES})"
    if match := asked.match(
        rf"{_LEAD}(?:how many times|how often) (?:does|do|is|are|was) (?P<x>.+?) "
        rf"(?:occurs?|appears?|used|mentioned|found){_TAIL}"
    ):
        sought = _sought(match["x"], asked.ignore_case)
        return Count("times", sought) if sought else None
    if match := asked.match(rf"{_LEAD}how many(?: of the)? {units} (?P<no>(?:do|does) not |don't )?{_HOLD} (?P<x>.+)"):
        sought = _sought(match["x"], asked.ignore_case, match["hold"])
        return Count(_unit(match["unit"]), sought, bool(match["no"])) if sought else None
    if match := asked.match(
        rf"{_LEAD}(?:how many|what is the (?:total )?number of) (?P<unit>lines|{_FILES}|words|characters)(?: of text)?"
        rf"(?: are there| is there| there are| (?:does|do) {_WHOLE} (?:have|contain|hold))?{_TAIL}"
    ):
        return Count(_unit(match["unit"]))
    return None


def _rank_files(asked: _Asked) -> Task | None:
    which = rf"{_LEAD}(?:which|what)(?: are the)? {_TOP}{_FILES}"
    if match := asked.match(
        rf"{which} (?:has|have|contains?|is|are)(?: the)? "
        rf"(?:longest|largest|biggest|most (?P<unit>lines|words|characters)){_TAIL}"
    ):
        return RankFiles(_unit(match["unit"] or "characters"), _top(match["top"]))
    if match := asked.match(rf"{which} (?:has|have|contains?)(?: the)? most (?P<unit>lines) {_HOLD} (?P<x>.+)"):
        sought = _sought(match["x"], asked.ignore_case, match["hold"])
        return RankFiles("lines", _top(match["top"]), sought) if sought else None
    if match := asked.match(
        rf"{which} (?:mention|contain|use|include)s? (?P<x>.+?) (?:the )?most(?: often| frequently| times)?{_TAIL}"
    ):
        sought = _sought(match["x"], asked.ignore_case)
        return RankFiles("times", _top(match["top"]), sought) if sought else None
    return None


def _rank_parts(asked: _Asked) -> Task | None:
    match = asked.match(
        rf"{_LEAD}(?:what|which)(?: is| are)?(?: the)? {_TOP}"
        rf"(?P<by>most (?:common|frequent)|longest) (?P<part>words?|lines?){_TAIL}"
    )
    if not match:
        return None
    is_plural = match["part"].lower().endswith("s")
    part: Literal["words", "lines"] = "words" if match["part"].lower().startswith("word") else "lines"
    by: Literal["frequency", "length"] = "length" if match["by"].lower() == "longest" else "frequency"
    return RankParts(part, by, _top(match["top"], default=10 if is_plural else 1))


_RECOGNISERS: Final[tuple[Callable[[_Asked], Task | None], ...]] = (
    _classify,
    _pair_users,
    _tally,
    _rank_parts,
    _rank_files,
    _count,
    _needle,
)


def _sought(phrase: str, ignore_case: bool, hold: str = "contain") -> Sought | None:
    """What is looked for: one quoted text, or a few bare words; None when the phrase may say more than that."""
    kind = _KIND.match(phrase)
    rest = phrase[kind.end() :] if kind else phrase
    whole_word = kind is not None and kind["kind"].lower().startswith("word")
    quoted = _QUOTED.match(rest)
    if quoted:
        text, rest = quoted["d"] or quoted["b"] or quoted["s"], rest[quoted.end() :]
        if not re.fullmatch(_TAIL, rest, re.IGNORECASE):
            return None
    else:
        text = re.sub(rf"{_TAIL}$", "", rest, count=1, flags=re.IGNORECASE)
        words = text.lower().split()
        if not 1 <= len(words) <= _LONGEST_BARE or {"and", "or", "but", "in", "not", "than"} & set(words):
            return None
    verb = hold.lower()
    anchor: Literal["anywhere", "start", "end"] = "anywhere"
    if verb.startswith(("start", "begin")):
        anchor = "start"
    elif verb.startswith("end"):
        anchor = "end"
    return Sought(text, whole_word, ignore_case, anchor)


def _unit(word: str) -> Unit:
    units: dict[str, Unit] = {"lines": "lines", "words": "words", "characters": "characters"}
    return units.get(word.lower(), "files")


def _top(word: str | None, default: int = 1) -> int:
    if word is None:
        return default
    number = int(word) if word.isdigit() else _NUMBER_WORDS.index(word.lower()) + 1
    return max(1, min(number, 1000))
