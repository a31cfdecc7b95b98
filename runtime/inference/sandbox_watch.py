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
    def __init__(self, client: SandboxClient) -> None:
        self._client = client
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
        elapsed = RENEWAL_INTERVAL
        while True:
            due = list(self._suspended)[:_MAX_IDS] if elapsed >= RENEWAL_INTERVAL else []
            await self._touch(due)
            elapsed = 0.0 if elapsed >= RENEWAL_INTERVAL else elapsed + PROBE_INTERVAL
            await asyncio.sleep(PROBE_INTERVAL)

    async def _touch(self, ids: list[str]) -> None:
        try:
            await self._client.touch(ids)
            problem = None
        except SandboxUnavailableError as error:
            problem = str(error)
        if problem != self._problem:
            log.info("sandbox answers" if problem is None else "sandbox does not answer", extra={"problem": problem})
        self._problem = problem
