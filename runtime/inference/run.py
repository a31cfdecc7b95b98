"""One run: everything that its loop and its sub-calls share.

Made by `runner.py`, which owns its session and its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypedDict

from runtime.inference.budget import Budget
from runtime.inference.events import TrajectoryEvent
from runtime.inference.llm import Models
from runtime.inference.metrics import Metrics
from runtime.inference.question import Question
from runtime.inference.session import ReplSession
from runtime.inference.usage import Usage


@dataclass(frozen=True)
class Caller:
    """Who asked, for the log: the name of the key (never the key) and the request."""

    key_name: str
    request_id: str


class Stamp(TypedDict):
    run_id: str
    seq: int
    at: float


@dataclass
class Narrator:
    """Numbers a run's events and hands them to whoever listens."""

    run_id: str
    listener: Callable[[TrajectoryEvent], None]
    _numbers: count[int] = field(default_factory=count)

    def stamp(self) -> Stamp:
        return Stamp(run_id=self.run_id, seq=next(self._numbers), at=time.time())

    def say(self, event: TrajectoryEvent) -> None:
        self.listener(event)


@dataclass
class Run:
    question: Question
    session: ReplSession
    models: Models
    budget: Budget
    narrator: Narrator
    metrics: Metrics
    subcall_slots: asyncio.Semaphore  # this run's share of the process's model calls
    attended: asyncio.Event  # cleared while nobody waits for the answer: then no new model call is begun
    usage: Usage = field(default_factory=Usage)
    partial_answer: str | None = None

    def stamp(self) -> Stamp:
        return self.narrator.stamp()

    def say(self, event: TrajectoryEvent) -> None:
        self.narrator.say(event)
