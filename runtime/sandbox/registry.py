"""All sessions of the service: makes, finds, expires and ends them.

A session is known by (key name, id), so another caller's id simply does not exist. Called by the HTTP layer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from runtime.sandbox.dialogue import SessionOptions
from runtime.sandbox.errors import ProcessError, RequestError
from runtime.sandbox.ledger import Ledger
from runtime.sandbox.process import SessionProcess
from runtime.sandbox.session import Session, State
from runtime.sandbox.spawner import Spawner
from runtime.wire import ErrorCode, HostCall

SWEEP_SECONDS: Final = 2.0
REMEMBERED_EXPIRED: Final = 10_000
SMALLEST_SESSION: Final = 4 << 20  # bytes that an idle one gives back at least (docs/benchmarks.md)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """How many sessions live, in all and of one caller, and for how long: idle, unanswered, at all."""

    sessions: int
    sessions_per_caller: int
    idle_seconds: float
    suspend_seconds: float
    lifetime_seconds: float


class Registry:
    def __init__(self, spawner: Spawner, ledger: Ledger, bounds: Bounds) -> None:
        self._spawner = spawner
        self._ledger = ledger
        self._bounds = bounds
        self._sessions: dict[tuple[str, str], Session] = {}
        self._starting = 0
        self._expired: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions) + self._starting

    def count(self, state: State) -> int:
        return Counter(session.state for session in self._sessions.values())[state]

    @property
    def cap(self) -> int:
        return self._bounds.sessions

    def guest_memory(self) -> int:
        return sum(session.memory_bytes for session in self._sessions.values())

    def kept_bytes(self) -> int:
        """What the server itself keeps for them."""
        return sum(session.kept_bytes() for session in self._sessions.values())

    def find(self, owner: str, session_id: str) -> Session | None:
        session = self._sessions.get((owner, session_id))
        if session is None:
            return None
        if session.is_over:
            self._forget(session)
            return None
        if self._is_too_old(session):
            self._expire(session, "lifetime")
            return None
        return session

    def get(self, owner: str, session_id: str) -> Session:
        """404 if there is none: `session_expired` if there was."""
        session = self.find(owner, session_id)
        if session is not None:
            return session
        if (owner, session_id) in self._expired:
            raise RequestError(ErrorCode.SESSION_EXPIRED, f"session {session_id} has ended; create it anew")
        raise RequestError(ErrorCode.SESSION_NOT_FOUND, f"there is no session {session_id}")

    async def create(
        self, owner: str, session_id: str | None, options: SessionOptions, *, one_shot: bool = False
    ) -> Session:
        """A new session. 409 if the id is in use, 429 at the cap, 503 if no process can be had."""
        try:
            session = await self._make(owner, session_id, options, self._spawner.take, one_shot=one_shot)
        except ProcessError as error:
            raise RequestError(ErrorCode.NOT_READY, str(error)) from error
        self._ledger.session_created(session)
        return session

    async def fork(self, source: Session, session_id: str | None) -> tuple[Session, HostCall | None]:
        """A branch of the claimed `source`, and the call in which it waits. Refused like a new session, but 429 if no
        process can be had: a session and its branches share a bound."""
        options = replace(source.options, seed=None, sealed=False)
        branching = partial(self._spawner.branch, source.process, suspended=source.is_suspended)
        try:
            branch = await self._make(source.owner, session_id, options, branching)
        except ProcessError as error:
            message = f"session {source.id} could not be branched: it ended, or it has too many branches; end some"
            raise RequestError(ErrorCode.SESSION_CAP, message) from error
        self._ledger.session_created(branch, source)
        return branch, branch.become_branch_of(source)

    async def _make(
        self,
        owner: str,
        session_id: str | None,
        options: SessionOptions,
        new_process: Callable[[], Awaitable[SessionProcess]],
        *,
        one_shot: bool = False,
    ) -> Session:
        key = (owner, session_id or secrets.token_hex(16))
        if self.find(*key) is not None:
            raise RequestError(ErrorCode.BUSY, f"session {key[1]} exists already; delete it or take another id")
        self._refuse_beyond_caps(owner)
        self._starting += 1
        started = time.perf_counter()
        try:
            process = await new_process()
        finally:
            self._starting -= 1
        self._ledger.metrics.session_start.observe(time.perf_counter() - started)
        session = Session(owner, key[1], process, options, self._spawner.take, one_shot=session_id is None and one_shot)
        if self.find(*key) is not None:
            session.close()
            raise RequestError(ErrorCode.BUSY, f"session {key[1]} was created by another request just now")
        self._sessions[key] = session
        self._expired.pop(key, None)
        return session

    def evict_idle(self, missing: int, owner: str | None = None, least: int = 0) -> int:
        """End idle sessions until about `missing` bytes are free, or none is left; how many bytes it were. None is
        ended where all together have less than `least` bytes.

        Each time it is the one that has been idle for longest, of the caller who holds most. For a request of `owner`
        only callers who hold as much as it give something up.
        """
        shared = self._spawner.shared_bytes()
        sizes = {
            key: max(SMALLEST_SESSION, session.resident_bytes() - shared + session.kept_bytes())
            for key, session in self._sessions.items()
        }
        if sum(size for key, size in sizes.items() if self._sessions[key].state is State.IDLE) < least:
            return 0
        held: Counter[str] = Counter()
        for (caller, _), size in sizes.items():
            held[caller] += size
        freed = 0
        while freed < missing:
            callers = (caller for caller, size in held.most_common() if owner is None or size >= held[owner])
            idle = (self._longest_idle(caller) for caller in callers)
            victim = next((session for session in idle if session is not None), None)
            if victim is None:
                break
            size = sizes[victim.owner, victim.id]
            held[victim.owner] -= size
            freed += size
            self._expire(victim, "memory")
        return freed

    def largest_busy(self) -> Session | None:
        """Of those that run or are suspended, the one whose process has most memory."""
        busy = (session for session in self._sessions.values() if session.state is not State.IDLE and not session.lost)
        return max(busy, key=Session.resident_bytes, default=None)

    def end(self, session: Session) -> None:
        """End a session and its processes, as its owner wants."""
        self._forget(session, "deleted")
        self._expired.pop((session.owner, session.id), None)

    @contextmanager
    def claimed(self, session: Session, *, suspended: bool = False) -> Iterator[None]:
        """`Session.claim`; a session of which nothing is left afterwards is forgotten."""
        try:
            with session.claim(suspended=suspended):
                yield
        finally:
            self.discard_if_lost(session)

    def discard_if_lost(self, session: Session) -> None:
        if session.is_over:
            self._forget(session)

    async def sweep(self) -> None:
        """Runs for the life of the service: ends what is idle for too long, interrupts what nobody answers."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for session in list(self._sessions.values()):
                self.discard_if_lost(session)
                if session.lost:
                    continue
                if session.state is State.IDLE and now - session.used_at > self._bounds.idle_seconds:
                    self._expire(session, "idle")
                elif self._is_too_old(session):
                    self._expire(session, "lifetime")
                elif session.state is State.SUSPENDED and session.abandoned_for(now) > self._bounds.suspend_seconds:
                    log.info("suspended cell abandoned", extra={"seconds": round(session.abandoned_for(now))})
                    self._ledger.abandoned(session, await session.abandon())
                    self.discard_if_lost(session)

    def close(self) -> None:
        for session in list(self._sessions.values()):
            session.close()
            self._ledger.session_ended(session, "stopped")
        self._sessions.clear()

    def _refuse_beyond_caps(self, owner: str) -> None:
        """429 at a cap. Where the server is full, a caller who has less than another takes the place of that one's
        session that has been idle for longest, so that nobody keeps all of it."""
        counts = Counter(caller for caller, _ in self._sessions)
        cap = self._bounds.sessions_per_caller
        if counts[owner] >= cap:
            raise RequestError(ErrorCode.SESSION_CAP, f"{cap} sessions of this key are live; delete one")
        if len(self) < self.cap:
            return
        for caller, count in counts.most_common():
            victim = self._longest_idle(caller) if count > counts[owner] + 1 else None
            if victim is not None:
                self._expire(victim, "fair_share")
                return
        raise RequestError(ErrorCode.SESSION_CAP, f"{self.cap} sessions are live; delete one or try again later")

    def _longest_idle(self, owner: str) -> Session | None:
        sessions = (session for (caller, _), session in self._sessions.items() if caller == owner)
        idle = (session for session in sessions if session.state is State.IDLE and not session.lost)
        return min(idle, key=lambda session: session.used_at, default=None)

    def _is_too_old(self, session: Session) -> bool:
        age = time.monotonic() - session.created_at
        return session.state is State.IDLE and age > self._bounds.lifetime_seconds

    def _expire(self, session: Session, reason: str) -> None:
        log.info("session expired", extra={"caller": session.owner, "reason": reason})
        self._ledger.metrics.expired.labels(reason).inc()
        self._forget(session, reason)

    def _forget(self, session: Session, reason: str = "lost") -> None:
        """Its id is remembered, so that its owner is told that it has ended."""
        key = (session.owner, session.id)
        session.close()
        if self._sessions.get(key) is not session:
            return
        del self._sessions[key]
        self._ledger.session_ended(session, reason)
        self._expired[key] = None
        while len(self._expired) > REMEMBERED_EXPIRED:
            self._expired.popitem(last=False)
