"""How much is measured: sizes of a whole run and of a short one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self


@dataclass(frozen=True)
class Plan:
    samples: int = 200  # of quick things
    seconds: float = 4.0  # at most, for each kind of sample, but at least `fewest` of them
    fewest: int = 3
    transfers: int = 5
    kills: int = 30
    memory_sessions: int = 40
    clients: tuple[int, ...] = (1, 8, 64)
    load_seconds: float = 2.0  # for each number of clients
    live_sessions: int = 1000
    repeats: int = 4  # of each program; the best counts
    bursts: int = 20

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        fields = json.loads(text)
        return cls(**{**fields, "clients": tuple(fields["clients"])})


WHOLE: Final = Plan()
QUICK: Final = Plan(
    samples=5,
    seconds=0.5,
    transfers=1,
    kills=2,
    memory_sessions=4,
    clients=(1, 8),
    load_seconds=0.3,
    live_sessions=12,
    repeats=1,
    bursts=2,
)
