"""Leader election by a Lease: of several operators only the one that holds it reconciles. `leader.py` runs it.

The rules are those of Kubernetes' own components, with two things that matter here. A Lease is free when its record has
stood unchanged for its duration by the clock of whoever looks, so clocks that differ do no harm. And the holder gives
up when two thirds of the duration have passed since the start of its last renewal that succeeded, so that it has
stopped before anybody else can begin, also when the API server does not answer at all.

Written here because the Kubernetes client's own elector goes on leading through a frozen API server.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rlm_operator.errors import ApiError, ConflictError, NotFoundError
from rlm_operator.kinds import APIS, Ref
from rlm_operator.resource import Manifest

LEASE: Final = "rlm-operator"
"""Its name: one installation of the operator in a namespace."""
LONGEST_SECONDS: Final = 600
"""A duration in a record of somebody else counts up to this much."""
_GIVE_UP: Final = 2 / 3
"""Part of the duration after which a holder that could not renew stops."""
_RENEWALS: Final = 7.5
_LOOKS: Final = 15
"""How often the holder renews, and the others look, in one duration: with 15 s every 2 s and every second."""
_RELEASE_SECONDS: Final = 2

_log = logging.getLogger(__name__)


class LeaseStore(Protocol):
    """What an election asks of an API server; `cluster.py` is the implementation. Methods raise ApiError."""

    async def fetch(self, ref: Ref) -> Manifest:
        """NotFoundError when it does not exist."""
        ...

    async def create(self, manifest: Manifest) -> Manifest:
        """ConflictError when it exists."""
        ...

    async def replace(self, manifest: Manifest) -> Manifest:
        """ConflictError when it is no longer of the resource version in `manifest`."""
        ...


@dataclass(frozen=True)
class LeaseTerms:
    """Where the Lease is, who asks for it, and for how many seconds it is held without renewal."""

    namespace: str
    identity: str
    seconds: int

    @property
    def ref(self) -> Ref:
        return Ref("Lease", self.namespace, LEASE)


class LeaseElector:
    """One candidate. Times are seconds on the monotonic `clock`."""

    def __init__(self, store: LeaseStore, terms: LeaseTerms, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._terms = terms
        self._clock = clock
        self._until = float("-inf")
        self._lease: Manifest = {}  # as last written
        self._seen: Any = None
        self._seen_at = 0.0
        self._trouble = ""

    @property
    def leads(self) -> bool:
        """False from the moment that somebody else might begin, even if nothing has been noticed yet."""
        return self._clock() < self._until

    @property
    def lease(self) -> Manifest | None:
        """The Lease as last written, in a term."""
        return self._lease

    async def campaign(self) -> None:
        """Wait until the Lease is ours. An API server that does not answer is waited for."""
        self._trouble = ""
        while True:
            if await self._try_to_acquire():
                return
            await asyncio.sleep(self._terms.seconds / _LOOKS)

    async def hold(self) -> str:
        """Renew until that fails for too long or somebody else has the Lease; returns what happened."""
        cause = "no answer from the API server"
        while self.leads:
            started = self._clock()
            try:
                async with asyncio.timeout(self._until - started):
                    await self._renew()
            except _TakenError as error:
                self._until = float("-inf")
                return str(error)
            except (ApiError, TimeoutError) as error:
                cause = str(error) or cause
            else:
                self._until = started + self._terms.seconds * _GIVE_UP
            await asyncio.sleep(min(self._terms.seconds / _RENEWALS, max(0.0, self._until - self._clock())))
        return f"the Lease was not renewed for {self._terms.seconds * _GIVE_UP:.0f} s: {cause}"

    async def release(self) -> None:
        """Let the next one begin at once. Nothing happens when the Lease is not ours."""
        if not self.leads:
            return
        self._until = float("-inf")
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._write(_released)
        except _TakenError:
            pass  # Then there is nothing to release.
        except (ApiError, TimeoutError) as error:
            _log.warning("the Lease was not released: %s", error or "no answer")

    async def _try_to_acquire(self) -> bool:
        started = self._clock()
        try:
            async with asyncio.timeout(self._terms.seconds * _GIVE_UP):
                found = await self._fetch()
                if found is not None and not self._is_free(found):
                    return False
                self._lease = await (self._create() if found is None else self._take(found))
        except ConflictError:
            return False  # Another candidate was faster.
        except (ApiError, TimeoutError) as error:
            self._tell(str(error) or "no answer from the API server")
            return False
        self._until = started + self._terms.seconds * _GIVE_UP
        return True

    def _is_free(self, lease: Manifest) -> bool:
        record = lease.get("spec") or {}
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        if record.get("holderIdentity") in (None, "", self._terms.identity):
            return True
        duration = min(record.get("leaseDurationSeconds") or self._terms.seconds, LONGEST_SECONDS)
        return self._clock() >= self._seen_at + duration

    async def _renew(self) -> None:
        """Raises ApiError, and _TakenError when somebody else has the Lease."""
        try:
            self._lease = await self._write(self._renewed)
        except NotFoundError:
            self._lease = await self._create()

    async def _write(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """The Lease changed, as long as it is ours."""
        try:
            return await self._store.replace(change(self._lease))
        except ConflictError:
            # Either an answer to a renewal of ours was lost, or the Lease was edited, or it is somebody else's.
            found = await self._store.fetch(self._terms.ref)
            holder = (found.get("spec") or {}).get("holderIdentity")
            if holder != self._terms.identity:
                raise _TakenError(f"the Lease is held by {holder or 'nobody'}") from None
            return await self._store.replace(change(found))

    def _renewed(self, lease: Manifest) -> Manifest:
        changes = {"renewTime": _now(), "leaseDurationSeconds": self._terms.seconds}
        return {**lease, "spec": {**lease["spec"], **changes}}

    async def _fetch(self) -> Manifest | None:
        try:
            return await self._store.fetch(self._terms.ref)
        except NotFoundError:
            return None

    async def _create(self) -> Manifest:
        metadata = {"name": LEASE, "namespace": self._terms.namespace}
        manifest = {"apiVersion": APIS["Lease"].version, "kind": "Lease", "metadata": metadata}
        return await self._store.create({**manifest, "spec": self._record(0)})

    async def _take(self, found: Manifest) -> Manifest:
        """The resource version in `found` makes sure that only one candidate succeeds."""
        transitions = (found.get("spec") or {}).get("leaseTransitions") or 0
        return await self._store.replace({**found, "spec": self._record(transitions + 1)})

    def _record(self, transitions: int) -> Manifest:
        now = _now()
        return {
            "holderIdentity": self._terms.identity,
            "leaseDurationSeconds": self._terms.seconds,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _tell(self, trouble: str) -> None:
        """Once for each trouble: the next look is a second away."""
        if trouble != self._trouble:
            _log.warning("the Lease can not be looked at: %s", trouble)
        self._trouble = trouble


class Unopposed:
    """The only operator, without a Lease: it leads from the beginning to the end."""

    leads: Final = True
    lease: Final[Manifest | None] = None

    async def campaign(self) -> None:
        return

    async def hold(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def release(self) -> None:
        return


Elector = LeaseElector | Unopposed


class _TakenError(Exception):
    """Somebody else holds the Lease."""


def _released(lease: Manifest) -> Manifest:
    changes = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
    return {**lease, "spec": {**lease["spec"], **changes}}


def _now() -> str:
    """For people who look at the Lease: no decision rests on it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
