"""Times from a fault to its being made good: taken by the tests of faults, printed at the end of the run.

docs/reliability.md has those of one run. They are no bounds of the tests, which run on machines of any speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Recoveries:
    """`lines`: one for each time taken, in their order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def measure(self, fault: str) -> Iterator[None]:
        """The time spent inside the block, which ends when the fault is made good."""
        started = time.monotonic()
        yield
        self.lines.append(f"recovery: {time.monotonic() - started:6.2f} s  {fault}")
