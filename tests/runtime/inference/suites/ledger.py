"""OOLONG-like data (arXiv 2511.02817): lines of `Date || User || Instance`, each instance with a label that is nowhere
written, so that it has to be judged line by line before anything can be counted.

The stand-in judges by vocabulary. Some lines say the opposite of what their words suggest, so the number of its
mistakes is known too, and with it the score.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations
from typing import Final

LABELS: Final = ("positive", "negative", "neutral")

_WORDINGS: Final = {
    "positive": ("Great lamp, I love it", "An excellent chair and easy to put together", "My kettle is just perfect"),
    "negative": ("The lamp was broken", "A terrible chair, the worst of all", "My kettle is slow and useless"),
    "neutral": ("It is a lamp", "The chair came on a Monday", "This kettle is made of steel"),
}
_IRONY: Final = ("Not bad, nothing wrong with this one", "I have never had a poor cup from it")
"""Positive; the words are negative."""


@dataclass(frozen=True)
class Entry:
    """`label` is true, `worded` what the words alone suggest."""

    day: date
    user: int
    text: str
    label: str
    worded: str

    @property
    def line(self) -> str:
        return f"{self.day:%b %d, %Y} || User: {self.user} || {self.text}"


def build_ledger(entries: int, users: int, seed: int, ironic: int = 0) -> list[Entry]:
    """Of `entries` lines, `ironic` are worded as the opposite of what they mean."""
    chance = random.Random(f"{seed} {entries}")  # noqa: S311  # data of a test, no secret
    odd = set(chance.sample(range(entries), ironic))
    return [_build_entry(chance, users, number, number in odd) for number in range(entries)]


def _build_entry(chance: random.Random, users: int, number: int, is_ironic: bool) -> Entry:
    label = "positive" if is_ironic else chance.choice(LABELS)
    wording = chance.choice(_IRONY if is_ironic else _WORDINGS[label])
    return Entry(
        day=date(2024, 1, 1) + timedelta(days=chance.randrange(365)),
        user=10_000 + chance.randrange(users),
        text=f"{wording}, order {number}.",
        label=label,
        worded="negative" if is_ironic else label,
    )


def write_ledger(entries: Sequence[Entry]) -> str:
    return "\n".join(entry.line for entry in entries)


def count_labels(entries: Sequence[Entry]) -> Counter[str]:
    return Counter(entry.label for entry in entries)


def score_number(said: int, true: int) -> float:
    """OOLONG's partial credit for a number: 1 if it is right, and less by a quarter for each that it is off."""
    return float(0.75 ** abs(said - true))


def true_pairs(entries: Sequence[Entry], label: str) -> set[tuple[int, int]]:
    """OOLONG-Pairs (arXiv 2512.24601): users who both have an entry of that label, the smaller first."""
    return set(combinations(sorted({entry.user for entry in entries if entry.label == label}), 2))


def score_pairs(said: set[tuple[int, int]], true: set[tuple[int, int]]) -> float:
    """F1."""
    return 2 * len(said & true) / (len(said) + len(true))
