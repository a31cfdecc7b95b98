"""What a run's session went through, so that it can be made again elsewhere: its cells, the answers that they got, how
they ended.

`session.py` keeps one per session, `replay.py` runs it again. Values only. Nothing large is copied: the context is in
the run's question, and an answer is the text that the run has anyway. Prompts are kept as hashes.

An answer is used again only for an equal call: the same function, the same model and the same prompt, for the same time
in the same cell, slot by slot of a batch. So a cell that asks other things when it runs again never gets the answer to
something else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic_core import to_json

from runtime.wire import CellReply, Status

CallKey = tuple[bytes, int]
"""The hash of a call, and how many equal ones the cell made before it."""


@dataclass
class CellRecord:
    """One cell, as it was when it ran last."""

    code: str
    answers: dict[CallKey, str] = field(default_factory=dict)
    replies: list[bytes] = field(default_factory=list)  # hashes: one per host call and one of the end
    ended: bool = False
    number: int = 0  # the server's, in the present session

    def reopen(self) -> None:
        """How it ended does not count."""
        self.ended = False
        del self.replies[-1]


@dataclass
class Attempt:
    """One time that a cell runs: which of its recorded answers were used, and what it said. `on_divergence` is called
    when it is not what the record says."""

    record: CellRecord
    on_divergence: Callable[[], None]
    replies: list[bytes] = field(default_factory=list)
    _asked: Counter[bytes] = field(default_factory=Counter)
    _used: set[CallKey] = field(default_factory=set)

    def take(self, function: str, model: str | None, prompts: list[str]) -> list[tuple[CallKey, str | None]]:
        """For each prompt of a call: its key, and the recorded answer. A call without one is as it should be only where
        the record has come to its end."""
        keys = [self._next_key(digest_call(function, model, prompt)) for prompt in prompts]
        answers = self.record.answers
        self._used.update(key for key in keys if key in answers)
        is_new = any(key not in answers for key in keys)
        if is_new and (self.record.ended or self._has_unused()):
            self.on_divergence()
        return [(key, answers.get(key)) for key in keys]

    def answered(self, key: CallKey, answer: str) -> None:
        self.record.answers[key] = answer
        self._used.add(key)

    def note(self, reply: CellReply) -> None:
        """Compare a reply with the one that the record has in its place."""
        digest = digest_reply(reply)
        recorded = self.record.replies
        position = len(self.replies)
        differs = recorded[position] != digest if position < len(recorded) else self.record.ended
        self.replies.append(digest)
        if differs:
            self.on_divergence()

    def end(self) -> None:
        """The cell ended: what was seen this time is the record from now on."""
        if self._has_unused():
            self.on_divergence()
        self.record.answers = {key: answer for key, answer in self.record.answers.items() if key in self._used}
        self.record.replies = self.replies
        self.record.ended = True

    def stop(self) -> None:
        """Whatever happened: a cell that never ended is next compared with what was seen of it so far."""
        if not self.record.ended and len(self.replies) >= len(self.record.replies):
            self.record.replies = self.replies

    def _has_unused(self) -> bool:
        return len(self._used) < len(self.record.answers)

    def _next_key(self, digest: bytes) -> CallKey:
        occurrence = self._asked[digest]
        self._asked[digest] += 1
        return digest, occurrence


@dataclass
class Journal:
    """`cells` are those whose effects the run counts on, the first `applied` of them are in the present session."""

    cells: list[CellRecord] = field(default_factory=list)
    applied: int = 0
    begun_at: int = 0  # the server's number of the last cell before the first of these
    running: Attempt | None = None

    @property
    def last_number(self) -> int:
        """The server's number of the last cell whose effects the session has."""
        return self.cells[self.applied - 1].number if self.applied else self.begun_at

    def restart(self, begun_at: int) -> None:
        """The session is a new one, which has none of the cells."""
        self.applied, self.begun_at = 0, begun_at

    def keep(self, record: CellRecord, number: int) -> None:
        """The cell ended with effects: the next one that the session lacked, or a new one."""
        record.number = number
        if self.applied == len(self.cells):
            self.cells.append(record)
        self.applied += 1

    def drop_next(self) -> None:
        """The next one that the session lacks had effects once, and has none any more."""
        del self.cells[self.applied]

    def roll_back(self, number: int) -> None:
        """The session is as it was after this cell."""
        while self.applied and self.cells[self.applied - 1].number > number:
            self.applied -= 1


def digest_call(function: str, model: str | None, prompt: str) -> bytes:
    return hashlib.sha256(repr((function, model or "", prompt)).encode("utf-8", "backslashreplace")).digest()


def digest_reply(reply: CellReply) -> bytes:
    """Of everything that code did and said, and of nothing that is measured."""
    call = None if reply.call is None else (reply.call.name, reply.call.payload)
    said = reply.model_dump(include={"status", "stdout", "stderr", "result", "events", "error"})
    return hashlib.sha256(to_json((said, call))).digest()


def has_effects(reply: CellReply) -> bool:
    """Whether the session's state has what the cell did; what ended a cell from outside rolled it back."""
    return reply.status in {Status.OK, Status.ERROR}
