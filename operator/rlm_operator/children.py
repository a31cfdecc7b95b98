"""Makes the children of one custom resource what they should be: applies what differs, deletes what is left over.

Called by `reconcile.py`. A child that is refused does not keep the others from being written.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import groupby

from rlm_operator.api import KubernetesApi
from rlm_operator.cache import Cache
from rlm_operator.conditions import Reason
from rlm_operator.digest import differing_lists
from rlm_operator.errors import ConflictError, NotFoundError, OvertakenError, RefusedError
from rlm_operator.inputs import LiveScale
from rlm_operator.kinds import AUTOSCALER_KINDS, WORKLOAD_KINDS, Ref, ref_of
from rlm_operator.lanes import each_in_lanes
from rlm_operator.live import Live, at_version, is_in_sync, observe
from rlm_operator.metrics import Metrics
from rlm_operator.ownership import Guard, NameTakenError, check_owner
from rlm_operator.resource import Manifest
from rlm_operator.status import Refusal, refusal_of


class Children:
    """Writes children and remembers the answers in the cache."""

    def __init__(self, api: KubernetesApi, cache: Cache, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics
        self._taken: set[Ref] = set()  # names under which somebody else's object was found

    async def sync(
        self,
        guard: Guard,
        wanted: Sequence[Manifest],
        withheld: Set[Ref] = frozenset(),
        scale: LiveScale | None = None,
    ) -> list[Refusal]:
        """All but Secrets, which `trust/` makes. `withheld` stay as they are. Returns those that could not be written.
        `scale`: what the replica count in `wanted` goes by.

        Raises UnavailableError when the API server does not answer, OwnerGoneError when the owner is gone, and, after
        the other children, OvertakenError when `scale` is out of date.
        """
        refusals: list[Refusal] = []
        wanted = [child for child in wanted if child["kind"] != "Secret"]
        kept = {ref_of(child) for child in wanted} | withheld
        left = [live for live in self._cache.children_of(guard.owner.uid) if live.ref not in kept and not live.deleting]
        refusals += await self._prune(guard, [live for live in left if live.ref.kind in AUTOSCALER_KINDS])
        overtaken: list[OvertakenError] = []

        async def ensure(child: Manifest) -> Refusal | None:
            ref = ref_of(child)
            try:
                await self._ensure(guard, ref, child, scale)
            except OvertakenError as error:
                overtaken.append(error)
            except NameTakenError as error:
                return Refusal(ref, Reason.NAME_CONFLICT, str(error))
            except (RefusedError, ConflictError, NotFoundError) as error:
                return refusal_of(ref, error)
            return None

        # What comes before the pods has to be there before them: policies above all.
        for _, together in groupby(wanted, lambda child: child["kind"] in WORKLOAD_KINDS):
            refusals += [each for each in await each_in_lanes(list(together), ensure) if each is not None]
        refusals += await self._prune(guard, [live for live in left if live.ref.kind not in AUTOSCALER_KINDS])
        if overtaken:
            raise overtaken[0]
        return refusals

    async def _prune(self, guard: Guard, left: Sequence[Live]) -> list[Refusal]:
        """Delete children that are no longer wanted. Returns those that could not be."""
        refusals: list[Refusal] = []
        for live in left:
            try:
                await self._delete(guard, live)
            except RefusedError as error:
                refusals.append(refusal_of(live.ref, error))
        return refusals

    async def _ensure(self, guard: Guard, ref: Ref, child: Manifest, scale: LiveScale | None) -> None:
        live = self._cache.child(ref)
        if live is not None and live.owner is not None and live.owner.uid == guard.owner.uid:
            # One that is being deleted comes back when its deletion is seen.
            if live.deleting or is_in_sync(child, live, own_write=self._cache.is_own_write(live)):
                return
            await guard.check()
            written = await self._repeat(ref, child, live, scale)
        else:
            written = await self._make(guard, ref, child)
        self._cache.put_written(observe(written))
        self._metrics.writes.labels(ref.kind).inc()

    async def _make(self, guard: Guard, ref: Ref, child: Manifest) -> Manifest:
        """Apply what no cache knows. Nothing that belongs to somebody else is ever taken over: the API server refuses
        the apply of a name that exists, so nobody can come between a look and the write."""
        if ref in self._taken:
            await self._check_free(guard, ref)
        await guard.check()
        try:
            return await self._api.apply(child, absent=True)
        except ConflictError:
            await self._check_free(guard, ref)
        return await self._apply(ref, child, None)

    async def _repeat(self, ref: Ref, child: Manifest, live: Live, scale: LiveScale | None) -> Manifest:
        """Apply to what exists. A replica count that is only repeated must not undo one that an autoscaler has written
        since: then the API server refuses it, and OvertakenError is raised."""
        if ref.kind != "Deployment" or scale is None or child["spec"].get("replicas") != scale.replicas:
            return await self._apply(ref, child, live)
        try:
            return await self._apply(ref, at_version(child, scale.version), live)
        except ConflictError as error:
            raise OvertakenError(f"{ref} changed since its replicas were read") from error

    async def _apply(self, ref: Ref, child: Manifest, live: Live | None) -> Manifest:
        """Apply; where what others added to a list makes the result invalid, put our lists back whole first.

        Server-side apply keeps others' items: a second port named `http`, say, would be refused for ever.
        """
        try:
            return await self._api.apply(child)
        except RefusedError as error:
            patch = differing_lists(child, live.manifest) if live else {}
            if error.status != 422 or not patch:
                raise
            await self._api.merge(ref, patch)
            return await self._api.apply(child)

    async def _check_free(self, guard: Guard, ref: Ref) -> None:
        """Raises NameTakenError."""
        self._taken.discard(ref)
        try:
            found = await self._api.fetch(ref)
        except NotFoundError:
            return
        try:
            check_owner(guard.owner, observe(found))
        except NameTakenError:
            self._taken.add(ref)
            raise

    async def _delete(self, guard: Guard, live: Live) -> None:
        await guard.check()
        try:
            await self._api.delete(live.ref, live.uid)
            self._metrics.writes.labels(live.ref.kind).inc()
        except (NotFoundError, ConflictError):
            pass  # Gone, or replaced by somebody else's: either way not ours to delete any more.
        self._cache.drop_child(live.ref)
