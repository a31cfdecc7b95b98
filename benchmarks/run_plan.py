"""How much of the inference plane is measured: sizes of a whole run and of a short one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self


@dataclass(frozen=True)
class RunPlan:
    iterations: int = 60  # of the long run; the short one has two
    repeats: int = 5  # of each run
    seconds: float = 20.0  # at most, for each figure's repeats, but at least one of them
    cells: int = 50
    large_cells: int = 30  # in a long run over the large context
    batch: int = 1000
    batch_latency: float = 0.05  # seconds of each sub-call
    megabytes: int = 40
    clients: int = 200
    runs_each: int = 5

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        return cls(**json.loads(text))


WHOLE: Final = RunPlan()
QUICK: Final = RunPlan(
    iterations=4, repeats=1, seconds=1, cells=3, large_cells=3, batch=20, megabytes=1, clients=4, runs_each=1
)
