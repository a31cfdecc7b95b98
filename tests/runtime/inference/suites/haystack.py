"""S-NIAH (arXiv 2404.06654): one statement with a number, somewhere in a long text that says nothing.

Statements about other names stand around it, so that the name must be matched and not the form alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final

CHARACTERS_PER_TOKEN: Final = 4
LENGTHS: Final = tuple(2**power for power in range(13, 24))
"""In tokens."""

_NOISE: Final = (
    "The grass is green. ",
    "The sky is blue. ",
    "The sun is yellow. ",
    "Here we go. ",
    "There and back again. ",
    "A number is not always magic.\n",
)
_DECOYS: Final = 8
_ADJECTIVES: Final = ("amber", "brisk", "calm", "dusty", "eager", "faint", "grim", "hollow", "ivory", "jolly")
_NOUNS: Final = ("fox", "harbour", "lantern", "meadow", "needle", "orchard", "pebble", "quarry", "raven", "spindle")


@dataclass(frozen=True)
class Haystack:
    text: str
    name: str
    number: str
    position: int  # of the statement, in characters

    @property
    def question(self) -> str:
        return f"What is the special magic number for {self.name}?"


def build_haystack(tokens: int, seed: int) -> Haystack:
    """A text of exactly `tokens` times four characters."""
    chance = random.Random(f"{seed} {tokens}")  # noqa: S311  # a haystack, no secret
    names = chance.sample([f"{one}-{other}" for one in _ADJECTIVES for other in _NOUNS], _DECOYS + 1)
    statements = {name: str(chance.randrange(10**6, 10**7)) for name in names}
    said = [f"One of the special magic numbers for {name} is: {number}.\n" for name, number in statements.items()]
    size = tokens * CHARACTERS_PER_TOKEN - sum(map(len, said))
    noise = "".join(chance.choices(_NOISE, k=size // min(map(len, _NOISE)) + 1))[:size]
    chance.shuffle(said)
    cuts = [0, *sorted(chance.randrange(size + 1) for _ in said), size]
    hay = [noise[start:end] for start, end in pairwise(cuts)]
    text = "".join(part for pair in zip_longest(hay, said, fillvalue="") for part in pair)
    return Haystack(text, names[0], statements[names[0]], text.index(f"for {names[0]} is"))
