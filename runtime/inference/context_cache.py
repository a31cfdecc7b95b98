"""Sealed sessions that hold the contents of uploaded files, so that a run over the same files begins as a copy of one.

A base takes variables and forks, never code, so what a run does cannot be in the next one's context. It is known by the
name of the key that asked and by the files' hashes: nobody gets a copy of what another key brought. One `ContextCache`
per process, owned by the engine; the sandbox ends bases like any idle session, and a run whose base is gone sends its
context as before.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import to_json

from runtime.inference.errors import SandboxBusyError, SandboxRefusedError, SandboxUnavailableError
from runtime.inference.metrics import CacheUse, Metrics
from runtime.inference.opening import Fresh, Origin, begin_repl, end_session, execute, fitting, put_pieces, read_prelude
from runtime.inference.question import ContentKey
from runtime.inference.sandbox_client import SandboxClient
from runtime.wire import CheckpointPolicy, ErrorCode, ForkRequest, SessionRequest, Status

CACHED_ABOVE: Final = 1024 * 1024  # characters; less is sent as fast as it is copied
MAX_BASES: Final = 16  # per process; the one that was used longest ago ends
WHOLE: Final = 60 * 1024 * 1024  # characters of ASCII text in one request: what a pool takes by default is 64 MiB


@dataclass(frozen=True)
class Base:
    session_id: str
    pieces: int


@dataclass
class _Place:
    """`lock`: a session takes one request at a time, and a context is brought in once."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    base: Base | None = None


class ContextCache:
    def __init__(self, client: SandboxClient, metrics: Metrics) -> None:
        self._client = client
        client.on_full = self.free
        self._metrics = metrics
        self._places: OrderedDict[ContentKey, _Place] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_possible = True

    def origin(self, fresh: Fresh) -> Origin:
        """How the session begins: as it says, or as a copy."""
        key = fresh.question.content
        if key is None or fresh.question.summary.characters < CACHED_ABOVE or not self._is_possible:
            return fresh
        return Cached(self, key, fresh)

    async def close(self) -> None:
        """End all bases, which would otherwise wait for the pool's idle timeout."""
        for place in self._places.values():
            self._let_go(place)
        if self._ending:
            await asyncio.wait(self._ending)

    def free(self) -> None:
        """The pool is full: end the base that was used longest ago."""
        for place in self._places.values():
            if place.base is not None and not place.lock.locked():
                self._let_go(place)
                return

    async def branch(self, key: ContentKey, fresh: Fresh, session_id: str) -> int | None:
        """Make the session as a copy of the base, which is made where there is none; in how many pieces the context is
        there. None when it cannot be done now. Raises ContextTooLargeError."""
        place = self._places.setdefault(key, _Place())
        self._places.move_to_end(key)
        self._trim()
        use = CacheUse.HIT
        async with place.lock:
            for _ in range(2):
                try:
                    if place.base is None:
                        use = CacheUse.MISS
                        place.base = await self._make(fresh)
                    await self._client.fork(place.base.session_id, ForkRequest(session_id=session_id), patient=False)
                except SandboxBusyError:
                    self._let_go(place)  # a full server has better use for the room
                    break
                except SandboxRefusedError as error:
                    if error.refusal is ErrorCode.CAPABILITY_MISSING:
                        self._is_possible = False
                        break
                    self._let_go(place)
                except SandboxUnavailableError:
                    self._let_go(place)
                else:
                    self._metrics.context_cache.labels(use.value).inc()
                    return place.base.pieces
        self._metrics.context_cache.labels(CacheUse.BYPASSED.value).inc()
        return None

    async def _make(self, fresh: Fresh) -> Base:
        question = fresh.question
        session_id = secrets.token_hex(16)
        request = SessionRequest(
            session_id=session_id,
            sealed=True,
            host_functions=fresh.host_functions,
            checkpoint=CheckpointPolicy.IDLE,
        )
        try:
            await self._client.create_session(request)
            with fitting(question):
                return Base(session_id, await put_pieces(self._client, session_id, question.context, WHOLE))
        except BaseException:
            self._end(session_id)
            raise

    def _trim(self) -> None:
        """One that is being used stays."""
        idle = [key for key, place in self._places.items() if not place.lock.locked()]
        for key in idle[: max(0, len(self._places) - MAX_BASES)]:
            self._let_go(self._places.pop(key))

    def _let_go(self, place: _Place) -> None:
        if place.base is not None:
            self._end(place.base.session_id)
            place.base = None

    def _end(self, session_id: str) -> None:
        ending = asyncio.create_task(end_session(self._client, session_id))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


@dataclass(frozen=True)
class Cached:
    """A session that begins as a copy of a base; without one as a fresh one."""

    cache: ContextCache
    key: ContentKey
    fresh: Fresh

    async def begin(self, client: SandboxClient, session_id: str) -> int:
        question = self.fresh.question
        pieces = await self.cache.branch(self.key, self.fresh, session_id)
        if pieces is None:
            return await self.fresh.begin(client, session_id)
        prelude = await execute(client, session_id, f"{read_prelude()}\n{_SEED.format(self.fresh.seed)}")
        if prelude.status is not Status.OK:
            raise SandboxUnavailableError(f"the prelude of a copied session ended {prelude.status.value}")
        await client.put_json(session_id, "history", await asyncio.to_thread(to_json, question.history))
        return await begin_repl(client, session_id, self.fresh, pieces)


_SEED: Final = "import sandbox.randomness\nsandbox.randomness.seed({})\ndel sandbox\n"
"""A copy's random numbers are new ones; these are the same when the session is made again."""
