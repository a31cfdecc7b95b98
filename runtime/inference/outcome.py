"""What came of one sub-call, plain or by a child run: an answer, or what the code sees instead.

Made by `subcalls.py` and `children.py`, kept by `memo.py`. Values only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.inference.usage import Usage


@dataclass(frozen=True)
class Outcome:
    model: str
    text: str
    error: str | None = None  # from a closed list; `text` is then what the code gets: "Error: " and this
    usage: Usage = field(default_factory=Usage)
    child: int | None = None  # node of the child run


def build_failure(model: str, error: str, usage: Usage | None = None, child: int | None = None) -> Outcome:
    return Outcome(model, f"Error: {error}", error, usage or Usage(), child)
