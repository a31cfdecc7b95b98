"""The API as a reconcile sees it: a Secret that was read a moment ago is not read again.

Secrets are not watched, so each pass asks for those of its resource by name; and a new stack has some five passes in
its first seconds, as its Deployments come up. Without this, half of all requests in a burst were such reads. What is
kept is gone after KEPT_SECONDS, which is less than the time after which a pass comes by itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from rlm_operator.api import KubernetesApi, Listing
from rlm_operator.errors import NotFoundError
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.resource import Manifest

KEPT_SECONDS: Final = 5.0
_SECRET: Final = "Secret"  # noqa: S105 - a kind


@dataclass(frozen=True)
class _Read:
    """`found`: the Secret, or that there was none."""

    until: float
    found: Manifest | NotFoundError


class RecentSecrets:
    """`api`, whose answers about Secrets, to reads and to writes, are good for KEPT_SECONDS on the `clock`."""

    def __init__(self, api: KubernetesApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._reads: dict[Ref, _Read] = {}

    async def fetch(self, ref: Ref) -> Manifest:
        if ref.kind != _SECRET:
            return await self._api.fetch(ref)
        self._forget_old()
        known = self._reads.get(ref)
        if known is None:
            known = self._reads[ref] = await self._read(ref)
        if isinstance(known.found, NotFoundError):
            raise known.found
        return known.found

    async def fetch_list(self, kind: str, namespace: str | None, label_selector: str | None) -> Listing:
        return await self._api.fetch_list(kind, namespace, label_selector)

    async def fetch_some(self, kind: str, namespace: str, label_selector: str, most: int) -> list[Manifest]:
        return await self._api.fetch_some(kind, namespace, label_selector, most)

    async def fetch_plurals(self, version: str) -> frozenset[str]:
        return await self._api.fetch_plurals(version)

    async def fetch_groups(self) -> frozenset[str]:
        return await self._api.fetch_groups()

    async def apply(self, manifest: Manifest, *, absent: bool = False) -> Manifest:
        return await self._write(ref_of(manifest), self._api.apply(manifest, absent=absent))

    async def apply_status(self, manifest: Manifest) -> Manifest:
        return await self._api.apply_status(manifest)

    async def create(self, manifest: Manifest) -> Manifest:
        return await self._write(ref_of(manifest), self._api.create(manifest))

    async def merge(self, ref: Ref, patch: Manifest) -> Manifest:
        return await self._write(ref, self._api.merge(ref, patch))

    async def delete(self, ref: Ref, uid: str) -> None:
        self._reads.pop(ref, None)
        await self._api.delete(ref, uid)

    async def _write(self, ref: Ref, writing: Awaitable[Manifest]) -> Manifest:
        """What was read before is forgotten even if the write fails: it may have failed because that was old."""
        self._reads.pop(ref, None)
        written = await writing
        if ref.kind == _SECRET:
            self._reads.pop(ref, None)
            self._reads[ref] = _Read(self._clock() + KEPT_SECONDS, written)
        return written

    async def _read(self, ref: Ref) -> _Read:
        found: Manifest | NotFoundError
        try:
            found = await self._api.fetch(ref)
        except NotFoundError as error:
            found = error
        return _Read(self._clock() + KEPT_SECONDS, found)

    def _forget_old(self) -> None:
        """Reads are in the order of their times."""
        now = self._clock()
        while self._reads and self._reads[oldest := next(iter(self._reads))].until <= now:
            del self._reads[oldest]
