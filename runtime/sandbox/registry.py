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
from dataclasses import replace
from functools import partial
from typing import Final

from runtime.sandbox.errors import ProcessError, RequestError
from runtime.sandbox.ledger import Ledger
from runtime.sandbox.process import SessionProcess
from runtime.sandbox.session import Session, SessionOptions, State
from runtime.sandbox.spawner import Spawner
from runtime.wire import ErrorCode, HostCall

SWEEP_SECONDS: Final = 2.0
REMEMBERED_EXPIRED: Final = 10_000

log = logging.getLogger(__name__)


class Registry:
    def __init__(
        self,
        spawner: Spawner,
        ledger: Ledger,
        cap: int,
        idle_seconds: float,
        suspend_seconds: float,
    ) -> None:
        self._spawner = spawner
        self._ledger = ledger
        self.cap = cap
        self._idle_seconds = idle_seconds
        self._suspend_seconds = suspend_seconds
        self._sessions: dict[tuple[str, str], Session] = {}
        self._starting = 0
        self._expired: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions) + self._starting

    def count(self, state: State) -> int:
        return Counter(session.state for session in self._sessions.values())[state]

    def guest_memory(self) -> int:
        return sum(session.memory_bytes for session in self._sessions.values())

    def find(self, owner: str, session_id: str) -> Session | None:
        session = self._sessions.get((owner, session_id))
        if session is not None and session.is_over:
            self._forget(session)
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
        if len(self) >= self.cap:
            raise RequestError(ErrorCode.SESSION_CAP, f"{self.cap} sessions are live; delete one or try again later")
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

    def end(self, session: Session, *, expired: bool = False) -> None:
        """End a session and its processes. An expired id is remembered, so that its owner is told so."""
        session.close()
        self._forget(session, "expired" if expired else "deleted")
        if not expired:
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
                if session.state is State.IDLE and now - session.used_at > self._idle_seconds:
                    log.info("session expired", extra={"idle_seconds": round(now - session.used_at)})
                    self.end(session, expired=True)
                elif session.state is State.SUSPENDED and session.abandoned_for(now) > self._suspend_seconds:
                    log.info("suspended cell abandoned", extra={"seconds": round(session.abandoned_for(now))})
                    self._ledger.abandoned(session, await session.abandon())
                    self.discard_if_lost(session)

    def close(self) -> None:
        for session in list(self._sessions.values()):
            session.close()
            self._ledger.session_ended(session, "stopped")
        self._sessions.clear()

    def _forget(self, session: Session, reason: str = "lost") -> None:
        key = (session.owner, session.id)
        session.close()
        if self._sessions.get(key) is not session:
            return
        del self._sessions[key]
        self._ledger.session_ended(session, reason)
        self._expired[key] = None
        while len(self._expired) > REMEMBERED_EXPIRED:
            self._expired.popitem(last=False)
