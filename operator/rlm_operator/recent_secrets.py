"""The API as a reconcile sees it: a Secret that was read a moment ago is not read again.

Secrets are not watched, so each pass asks for those of its resource by name; and a new stack has several passes in its
first seconds, as its Deployments come up. Without this, half of all requests in a burst were such reads. What is kept
is gone in less time than passes by until a pass comes by itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from rlm_operator.api import KubernetesApi, Listing
from rlm_operator.errors import ConflictError, NotFoundError
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.names import FIELD_MANAGER, MANAGED_BY_LABEL
from rlm_operator.resource import Manifest

OWN_SECONDS: Final = 15.0
"""How long a Secret is kept that the operator made."""
OTHER_SECONDS: Final = 5.0
"""How long any other is kept, and that there is none: its user may be waiting."""
_SECRET: Final = "Secret"  # noqa: S105 - a kind


@dataclass(frozen=True)
class _Read:
    """`found`: the Secret, or that there was none."""

    until: float
    found: Manifest | NotFoundError
    presumed: bool = False


class RecentSecrets:
    """`api`, whose answers about Secrets, to reads and to writes, are good for some seconds on the `clock`."""

    def __init__(self, api: KubernetesApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._reads: dict[Ref, _Read] = {}

    async def fetch(self, ref: Ref) -> Manifest:
        if ref.kind != _SECRET:
            return await self._api.fetch(ref)
        known = self._reads.get(ref)
        if known is None or known.until <= self._clock():
            read = await self._read(ref)
            if self._reads.get(ref) is known:
                self._remember(ref, read)
            known = self._reads.get(ref, read)  # what was written meanwhile is newer than what was read
        if isinstance(known.found, NotFoundError):
            raise NotFoundError(known.found.message, status=known.found.status, reason=known.found.reason)
        return known.found

    def presume_missing(self, refs: Iterable[Ref]) -> None:
        """None of these exists, unless something else is known. Creating one that does is a ConflictError, and nothing
        that was presumed in its namespace is believed any more: somebody was in the middle of making them."""
        error = NotFoundError("not there when its owner was new", status=404)
        for ref in refs:
            known = self._reads.get(ref)
            if known is None or known.until <= self._clock():
                self._remember(ref, _Read(self._clock() + OTHER_SECONDS, error, presumed=True))

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
        ref = ref_of(manifest)
        try:
            return await self._write(ref, self._api.create(manifest))
        except ConflictError:
            presumed = [each for each, read in self._reads.items() if read.presumed and each.namespace == ref.namespace]
            for each in presumed:
                del self._reads[each]
            raise

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
            self._remember(ref, self._kept(written))
        return written

    async def _read(self, ref: Ref) -> _Read:
        try:
            return self._kept(await self._api.fetch(ref))
        except NotFoundError as error:
            return _Read(self._clock() + OTHER_SECONDS, error)

    def _kept(self, found: Manifest) -> _Read:
        is_own = (found["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == FIELD_MANAGER
        return _Read(self._clock() + (OWN_SECONDS if is_own else OTHER_SECONDS), found)

    def _remember(self, ref: Ref, read: _Read) -> None:
        """The oldest are first, and go when their time is over."""
        now = self._clock()
        self._reads.pop(ref, None)
        self._reads[ref] = read
        while self._reads[oldest := next(iter(self._reads))].until <= now:
            del self._reads[oldest]
