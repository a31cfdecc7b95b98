"""What a process does about the sandbox in the background: keep suspended sessions alive, know whether it answers.

One `SandboxWatch` per process, owned by the application. A cell that waits for model calls is suspended, and the
sandbox ends it when nobody gives a sign of life for a minute; one request renews all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from runtime.inference.errors import SandboxUnavailableError
from runtime.inference.sandbox_client import SandboxClient

RENEWAL_INTERVAL: Final = 20.0
PROBE_INTERVAL: Final = 2.0
_MAX_IDS: Final = 10_000

log = logging.getLogger(__name__)


class SandboxWatch:
    def __init__(self, client: SandboxClient, renewal: float = RENEWAL_INTERVAL, probe: float = PROBE_INTERVAL) -> None:
        """`renewal`, `probe`: seconds between signs of life for suspended sessions, and between looks at the pool."""
        self._client = client
        self._renewal = renewal
        self._probe = probe
        self._suspended: set[str] = set()
        self._problem: str | None = "the sandbox was not asked yet"

    @property
    def problem(self) -> str | None:
        """Why no run could have a session now; None when the sandbox answers and takes our key."""
        return self._problem

    @contextmanager
    def suspended(self, session_id: str) -> Iterator[None]:
        """While inside, the session is renewed."""
        self._suspended.add(session_id)
        try:
            yield
        finally:
            self._suspended.discard(session_id)

    async def run(self) -> None:
        """Until cancelled. Every probe is a renewal, of nothing when nothing is due."""
        elapsed = self._renewal
        while True:
            is_due = elapsed >= self._renewal
            await self._touch(list(self._suspended)[:_MAX_IDS] if is_due else [])
            elapsed = 0.0 if is_due else elapsed
            await asyncio.sleep(self._probe)
            elapsed += self._probe

    async def _touch(self, ids: list[str]) -> None:
        try:
            await self._client.touch(ids)
            problem = None
        except SandboxUnavailableError as error:
            problem = str(error)
        if problem != self._problem:
            log.info("sandbox answers" if problem is None else "sandbox does not answer", extra={"problem": problem})
        self._problem = problem
