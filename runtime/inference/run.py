"""One run: everything that its loop and its sub-calls share.

Made by `runner.py`, which owns its session and its end.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypedDict

from runtime.inference.audit import Audit
from runtime.inference.budget import Budget
from runtime.inference.events import TrajectoryEvent
from runtime.inference.llm import Models
from runtime.inference.memo import Memo
from runtime.inference.metrics import Metrics
from runtime.inference.outcome import Outcome
from runtime.inference.question import Question
from runtime.inference.session import ReplSession
from runtime.inference.tools.toolbox import Toolbox
from runtime.inference.tracing import Tracing


class Stamp(TypedDict):
    run_id: str
    seq: int
    at: float
    node: int


@dataclass
class Narrator:
    """Numbers the events of a run and its children, in one row, and hands them to whoever listens."""

    run_id: str
    listener: Callable[[TrajectoryEvent], None]
    node: int = 0
    _numbers: count[int] = field(default_factory=count)
    _nodes: count[int] = field(default_factory=lambda: count(1))

    def open_child(self) -> Narrator:
        """The narrator of a child run, under the next number."""
        return Narrator(self.run_id, self.listener, next(self._nodes), self._numbers, self._nodes)

    def stamp(self) -> Stamp:
        return Stamp(run_id=self.run_id, seq=next(self._numbers), at=time.time(), node=self.node)

    def say(self, event: TrajectoryEvent) -> None:
        self.listener(event)


@dataclass
class Recoveries:
    """Of a tree of runs."""

    count: int = 0
    divergences: int = 0  # times that code which was run again did something else


AskChild = Callable[["Run", int, str, str | None], Awaitable[Outcome]]
"""Answers one `rlm_query` of a run: its slot in the batch, the prompt, the model that was named."""


def make_mark() -> str:
    """What stands in the tags around output, so that output cannot pretend to end; the session is never told."""
    return secrets.token_hex(4)


@dataclass(kw_only=True)
class Conversation:
    """What talking to the run's own model takes."""

    question: Question
    model: str
    depth: int  # 0 is the root
    models: Models
    tracing: Tracing
    budget: Budget
    narrator: Narrator
    subcall_share: int  # of the process's model calls: how many the tree has in flight at most
    subcall_slots: asyncio.Semaphore  # as many, each held only while a call is made
    attended: asyncio.Event  # cleared while nobody waits for the answer: then no new model call is begun
    recovery_seconds: float  # that a run looks for a server after its own was lost
    recoveries: Recoveries = field(default_factory=Recoveries)
    partial_answer: str | None = None
    mark: str = field(default_factory=make_mark)

    def stamp(self) -> Stamp:
        return self.narrator.stamp()

    def say(self, event: TrajectoryEvent) -> None:
        self.narrator.say(event)


@dataclass(kw_only=True)
class Run(Conversation):
    """With a session, in which the model's code runs."""

    session: ReplSession
    metrics: Metrics
    memo: Memo  # the tree's
    tools: Toolbox
    tool_calls: Counter[str]  # the tree's, by tool
    audit: Audit
    ask_child: AskChild
    compact_above_tokens: int = 0
