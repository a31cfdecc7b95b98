"""What every measured way to run a recursive language model can be asked: implemented by ours and by each peer.

`benchmarks.runs` drives it. `Repl` is one REPL without a model, `Runner` what answers questions; some peers are only
the first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """What a reader must know beside the figures."""

    version: str
    reached: str  # how a question or a cell gets there
    lacks: tuple[str, ...] = ()


class Repl(ABC):
    """State that stays from cell to cell; `context` is there from the start."""

    @abstractmethod
    def run(self, code: str) -> str:
        """What the cell printed."""

    @abstractmethod
    def close(self) -> None: ...


class Runner(ABC):
    name: str
    batch_cap: int | None = None  # sub-calls of one batch that are in flight at once; None: it runs no whole questions

    @abstractmethod
    def about(self) -> About: ...

    @abstractmethod
    def open_repl(self, context: str) -> Repl: ...

    def ask(self, context: str) -> str:
        """The answer of a whole run over the scripted model; only where `batch_cap` is set."""
        raise NotImplementedError(self.name)

    def close(self) -> None:  # noqa: B027  # most have nothing of their own to end
        """Ends everything but REPLs."""
