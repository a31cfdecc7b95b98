"""Lists everything anew from time to time, because a watch alone can lose news.

kopf does not tell of objects that vanished while a watch was down, and a watch may die without a sign. So each round
compares the versions of all objects with the cache, and fetches those that differ. Liveness hangs on it too: a kind
whose changes only lists find has a dead watch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from rlm_operator.api import ListingApi
from rlm_operator.errors import ApiError, NotFoundError, RefusedError
from rlm_operator.feed import Feed
from rlm_operator.kinds import APIS, RESOURCE_KINDS, WATCHED_CHILD_KINDS, Ref, ref_of
from rlm_operator.metrics import Metrics
from rlm_operator.names import FIELD_MANAGER, MANAGED_BY_LABEL
from rlm_operator.optional_apis import OptionalApis
from rlm_operator.resource import Manifest

_DISCOVERY_SECONDS: Final = 30
_UNLISTED_SECONDS: Final = 2
CHILD_SELECTOR = f"{MANAGED_BY_LABEL}={FIELD_MANAGER}"

_log = logging.getLogger(__name__)


class Relist:
    """`period` in seconds; `namespaces` empty means all."""

    def __init__(
        self,
        api: ListingApi,
        feed: Feed,
        optional: OptionalApis,
        metrics: Metrics,
        namespaces: Sequence[str],
        period: float,
    ) -> None:
        self._api = api
        self._feed = feed
        self._optional = optional
        self._metrics = metrics
        self._scopes: list[str | None] = [*namespaces] or [None]
        self._period = period
        self._finished = time.monotonic()
        self._missed: dict[str, int] = {}  # by kind: rounds in a row, see _judge
        self._events: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def count_event(self, kind: str) -> None:
        """A watch told of an object of this kind."""
        self._events[kind] = self._events.get(kind, 0) + 1
        self._metrics.watch_events.labels(kind).inc()

    def problems(self) -> list[str]:
        """Why the operator should be restarted; empty when all is well."""
        dead = [kind for kind, rounds in self._missed.items() if rounds > 1]
        silent = [f"the watch of {kind} is silent while lists find changes" for kind in dead]
        age = time.monotonic() - self._finished
        return [*silent, f"no full list for {age:.0f} s"] if age > 5 * self._period + 300 else silent

    async def fill(self) -> None:
        """The first round: everything that exists becomes known. Raises ApiError."""
        await self._optional.refresh()
        await self._list_optional(self._optional.served)
        for kind in (*WATCHED_CHILD_KINDS, *RESOURCE_KINDS):
            await self._list(kind)

    async def run(self) -> None:
        """Further rounds, until cancelled."""
        while True:
            await asyncio.sleep(self._period)
            try:
                await self.compare()
            except ApiError as error:
                _log.warning("relist: %s", error)

    async def compare(self) -> None:
        """One further round. Raises ApiError."""
        await self._optional.refresh()
        await self._list_optional(self._optional.served, whole=False)
        for kind in (*WATCHED_CHILD_KINDS, *RESOURCE_KINDS):
            events = self._events.get(kind, 0)
            self._judge(kind, await self._list(kind, whole=False), events)
        self._finished = time.monotonic()

    async def discover(self) -> None:
        """Look for optional APIs more often than everything is listed, until cancelled.

        An API server does not list a kind at once that has just come (`storage is (re)initializing`).
        """
        unlisted: set[str] = set()
        while True:
            await asyncio.sleep(_UNLISTED_SECONDS if unlisted else min(self._period, _DISCOVERY_SECONDS))
            try:
                unlisted |= await self._optional.refresh()
                unlisted &= self._optional.served
                for kind in sorted(unlisted):
                    await self._list_optional([kind])
                    unlisted.discard(kind)
            except ApiError as error:
                _log.warning("optional APIs: %s", error)

    async def _list_optional(self, kinds: Iterable[str], *, whole: bool = True) -> None:
        """Our objects in optional APIs. One that cannot be listed keeps nothing else back."""
        for kind in sorted(APIS.keys() & set(kinds)):
            try:
                await self._list(kind, whole=whole)
            except (RefusedError, NotFoundError) as error:
                _log.warning("relist: %s: %s", APIS[kind].plural, error)

    async def _list(self, kind: str, *, whole: bool = True) -> int:
        """Returns how many changes were found that were not known. `whole`: most objects will be news."""
        selector = None if kind in RESOURCE_KINDS else CHILD_SELECTOR
        fetch = self._api.fetch_pages if whole else self._api.fetch_versions
        missed = 0
        for namespace in self._scopes:
            present: set[Ref] = set()
            version = ""
            async for page in fetch(kind, namespace, selector):
                for item in page.items:
                    present.add(ref_of(item, kind))
                    missed += self._feed.receive(kind, item) if whole else await self._look(kind, item)
                version = page.version
            missed += self._feed.keep_only(present, kind, namespace, version)
        return missed

    async def _look(self, kind: str, listed: Manifest) -> bool:
        """At an object whose version is not the known one. Returns whether it was news."""
        if self._feed.is_current(kind, listed["metadata"]):
            return False
        try:
            return self._feed.receive(kind, await self._api.fetch(ref_of(listed, kind)))
        except NotFoundError:
            return False  # gone since; the next round takes it away if no watch does

    def _judge(self, kind: str, missed: int, events: int) -> None:
        """Count rounds in a row in which changes were missed though no watch event came since the round before."""
        quiet = events == self._seen.get(kind, 0)
        self._seen[kind] = self._events.get(kind, 0)
        self._missed[kind] = self._missed.get(kind, 0) + 1 if missed and quiet else 0
        if missed:
            self._metrics.missed_changes.labels(kind).inc(missed)
        if self._missed[kind]:
            _log.warning("relist: %d changes of %s, of which the watch did not tell", missed, kind)
