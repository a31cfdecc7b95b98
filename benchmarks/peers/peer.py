"""What every measured system can be asked: the interface that ours and each peer implement.

`benchmarks.measure` drives it. Calls block; several clients are several threads with a session each.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.plan import Plan

LONGEST_CELL = 60.0  # seconds; no program of the benchmark comes near


@dataclass(frozen=True)
class About:
    """What a reader must know beside the figures."""

    version: str
    reached: str  # how a cell gets there
    isolation: str
    lacks: tuple[str, ...] = ()
    python: str = sys.version.split()[0]  # that runs the cells


class Session(ABC):
    """State that stays from cell to cell."""

    @abstractmethod
    def run(self, code: str) -> str:
        """What the cell printed. Any exception if the cell failed."""

    @abstractmethod
    def calls(self, count: int) -> list[float]:
        """One cell that asks its host `count` times; milliseconds from giving an answer to the next question."""

    @abstractmethod
    def put(self, name: str, text: str) -> None:
        """Set a variable; it is there when this returns."""

    @abstractmethod
    def get(self, name: str) -> str: ...

    @abstractmethod
    def hang(self, seconds: float) -> None:
        """Run an endless loop with that deadline; returns when the system has said that it was ended."""

    def recovered(self) -> Session:
        """A session that takes cells again after `hang`: this one, or a new one where the state is lost."""
        return self

    @abstractmethod
    def close(self) -> None: ...


class Peer(ABC):
    """A system under measurement. `most_sessions`: more of them at once do not fit the machine or its limits."""

    name: str
    most_sessions: int = 1000
    first_cell = "x = 40 + 2\nprint(x)"
    has_packages = False  # whether cells can import numpy and pandas

    @abstractmethod
    def about(self) -> About: ...

    @abstractmethod
    def new_session(self) -> Session: ...

    def bare_session(self) -> Session:
        """What a client gets that asks for nothing special; it has a deadline."""
        return self.new_session()

    def own_figures(self, plan: Plan) -> dict[str, Figure]:  # noqa: ARG002  # for systems that have such
        """Figures of what only this system has."""
        return {}

    def processes(self) -> list[int]:
        """Whose memory, with that of all their descendants, is the system's."""
        return [os.getpid()]

    def settle(self) -> None:  # noqa: B027  # most systems have nothing to wait for
        """Called before memory is counted."""

    def close(self) -> None:  # noqa: B027  # nor anything of their own to end
        """Everything that `new_session` did not hand out."""
