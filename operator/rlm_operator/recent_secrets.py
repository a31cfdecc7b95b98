"""The API as a reconcile sees it: a Secret that was read a moment ago is not read again.

Secrets are not watched, so each pass asks for those of its resource by name; and a new stack has several passes in its
first seconds, as its Deployments come up. Without this, half of all requests in a burst were such reads. What is kept
is gone in less time than passes by until a pass comes by itself. It is kept packed: thousands in a burst.
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
from rlm_operator.packed import pack, unpack
from rlm_operator.resource import Manifest

OWN_SECONDS: Final = 15.0
"""How long a Secret is kept that the operator made."""
PRESSED_SECONDS: Final = 50.0
"""How long at most while more urgent work waits: in a rush a resource has ten passes and more."""
OTHER_SECONDS: Final = 5.0
"""How long any other is kept, and that there is none: its user may be waiting."""
_SECRET: Final = "Secret"  # noqa: S105 - a kind


@dataclass(frozen=True)
class _Read:
    """`found`: the Secret, packed and without managed fields, or that there was none. `until`: how long that is good,
    `at_most`: how long in a rush."""

    until: float
    at_most: float
    found: bytes | NotFoundError
    presumed: bool = False

    def result(self) -> Manifest:
        """Raises NotFoundError."""
        if isinstance(self.found, NotFoundError):
            raise NotFoundError(self.found.message, status=self.found.status, reason=self.found.reason)
        return unpack(self.found)


class RecentSecrets:
    """`api`, whose answers about Secrets, to reads and to writes, are good for some seconds on the `clock`.

    `is_pressed`: whether more urgent work waits than looking again.
    """

    def __init__(
        self,
        api: KubernetesApi,
        clock: Callable[[], float] = time.monotonic,
        is_pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._clock = clock
        self._is_pressed = is_pressed
        self._reads: dict[Ref, _Read] = {}

    async def fetch(self, ref: Ref) -> Manifest:
        if ref.kind != _SECRET:
            return await self._api.fetch(ref)
        known = self._reads.get(ref)
        if known is None or not self._is_good(known):
            read = await self._read(ref)
            if self._reads.get(ref) is known:
                self._remember(ref, read)
            known = self._reads.get(ref, read)  # what was written meanwhile is newer than what was read
        return known.result()

    def presume_missing(self, refs: Iterable[Ref]) -> None:
        """None of these exists, unless something else is known. Creating one that does is a ConflictError, and nothing
        that was presumed in its namespace is believed any more: somebody was in the middle of making them."""
        error = NotFoundError("not there when its owner was new", status=404)
        for ref in refs:
            known = self._reads.get(ref)
            if known is None or not self._is_good(known):
                self._remember(ref, self._missing(error, presumed=True))

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
            return self._missing(error)

    def _is_good(self, read: _Read) -> bool:
        return self._clock() < (read.at_most if self._is_pressed() else read.until)

    def _missing(self, error: NotFoundError, *, presumed: bool = False) -> _Read:
        until = self._clock() + OTHER_SECONDS
        return _Read(until, until, error, presumed)

    def _kept(self, found: Manifest) -> _Read:
        is_own = (found["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == FIELD_MANAGER
        metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
        body = pack({**found, "metadata": metadata})
        now = self._clock()
        if is_own:
            return _Read(now + OWN_SECONDS, now + PRESSED_SECONDS, body)
        return _Read(now + OTHER_SECONDS, now + OTHER_SECONDS, body)

    def _remember(self, ref: Ref, read: _Read) -> None:
        """Those that are no good any more go, the oldest first."""
        now = self._clock()
        self._reads.pop(ref, None)
        self._reads[ref] = read
        while self._reads[oldest := next(iter(self._reads))].at_most <= now:
            del self._reads[oldest]
