"""kopf's persistence, switched off: it keeps nothing of an object and compares nothing.

kopf would copy each object some times over to find what changed since it last looked; that was half of the operator's
CPU in a burst, and it would remember a kilobyte of each object that it saw. Only `on.event` handlers are registered,
which need none of it. Used by `handlers.py`.
"""

from __future__ import annotations

from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory  # not public, but an argument of spawn_tasks


class NoDiffBaseStorage(kopf.DiffBaseStorage):
    """Every object is as it was: its essence is empty."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Nothing is known from before."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


class NoProgressStorage(kopf.ProgressStorage):
    """No handler has a progress."""

    def fetch(self, **_: Any) -> None:
        """Nothing is known from before."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""

    def purge(self, **_: Any) -> None:
        """Nothing was kept."""

    def touch(self, **_: Any) -> None:
        """Nothing is written to the object."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class NoMemories(ResourceMemories):
    """Every object is seen for the first time."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        return await super().recall(raw_body, **{**options, "ephemeral": True})
