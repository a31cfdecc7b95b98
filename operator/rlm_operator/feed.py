"""From news about objects to reconciles: updates the cache and queues the custom resources that an object concerns.

Called by the watches (`handlers.py`) for each event and by `relist.py` for each list. What changed never matters, only
whom it concerns: an object's owner, a pool's stacks, the resource itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from rlm_operator.cache import Cache
from rlm_operator.kinds import RESOURCE_KINDS, Ref, pool_ref_of, ref_of
from rlm_operator.live import is_older, observe
from rlm_operator.resource import Kind, Manifest
from rlm_operator.workqueue import Urgency, WorkQueue


class Feed:
    """Everything runs in one event loop and without waiting, so a call is atomic."""

    def __init__(self, cache: Cache, queue: WorkQueue) -> None:
        self._cache = cache
        self._queue = queue

    def receive(self, kind: str, manifest: Manifest) -> bool:
        """An object exists in this version. Returns whether that was news."""
        ref = ref_of(manifest, kind)
        news, before, child = False, self._cache.resource(ref), self._cache.child(ref)
        if kind in RESOURCE_KINDS:
            news = self._cache.put_resource(ref, manifest)
        live = observe(manifest, kind)
        if kind not in RESOURCE_KINDS or live.owner is not None:
            news = self._cache.put_child(live) or news
        if news:
            urgency = _urgency(manifest) if kind in RESOURCE_KINDS else Urgency.ROUTINE
            self._enqueue(ref, live.owner.ref if live.owner else None, urgency)
            self._enqueue_pools(kind, before, manifest)
            if child is not None and child.owner is not None and child.owner != live.owner:
                self._queue.add(child.owner.ref)  # It was taken from its owner.
        return news

    def is_current(self, kind: str, metadata: Mapping[str, Any]) -> bool:
        """Whether an object with this metadata would be no news."""
        ref = Ref(kind, metadata["namespace"], metadata["name"])
        return self._cache.is_current(ref, metadata["uid"], metadata["resourceVersion"])

    def forget(self, kind: str, manifest: Manifest) -> None:
        """An object is gone; a namesake that came after it stays."""
        ref, uid = ref_of(manifest, kind), manifest["metadata"]["uid"]
        resource, child = self._cache.resource(ref), self._cache.child(ref)
        if resource is not None and resource["metadata"]["uid"] == uid:
            self._cache.drop_resource(ref)
        if child is not None and child.uid == uid:
            self._cache.drop_child(ref)
        owner = observe(manifest, kind).owner
        self._enqueue(ref, owner.ref if owner else None)
        self._enqueue_pools(kind, manifest, None)

    def keep_only(self, present: Set[Ref], kind: str, namespace: str | None, version: str) -> int:
        """What a list of all objects of a kind as of `version` does not hold is gone. Returns how many of them no watch
        had told of."""
        missed = 0
        for ref in self._known(kind, namespace, version) - present:
            child, gone = self._cache.child(ref), self._cache.resource(ref)
            self._cache.drop_resource(ref)
            self._cache.drop_child(ref)
            self._enqueue(ref, child.owner.ref if child and child.owner else None)
            self._enqueue_pools(kind, gone, None)
            missed += 1
        return missed

    def _known(self, kind: str, namespace: str | None, version: str) -> set[Ref]:
        """Cached objects that a list of `version` must hold: younger ones may have come after it."""
        versions: dict[Ref, str] = {ref: live.resource_version for ref, live in self._cache.children().items()}
        versions |= self._cache.resources()
        return {
            ref
            for ref, known in versions.items()
            if ref.kind == kind and namespace in (None, ref.namespace) and not is_older(version, known)
        }

    def enqueue_all(self) -> None:
        """Something changed that concerns every resource."""
        for ref in self._cache.resources():
            self._queue.add(ref)

    def record_status(self, manifest: Manifest) -> None:
        """Our own status write, of which the watch will tell nothing new.

        A pool's stacks go by it. The resource itself is not queued: that would end its backoff.
        """
        ref = ref_of(manifest)
        self._cache.put_resource(ref, manifest)
        self._enqueue_stacks(ref)

    def _enqueue(self, ref: Ref, owner: Ref | None, urgency: Urgency = Urgency.ROUTINE) -> None:
        if ref.kind in RESOURCE_KINDS:
            self._queue.add(ref, urgency)
        self._enqueue_stacks(ref)
        if owner is not None:
            self._queue.add(owner)

    def _enqueue_stacks(self, ref: Ref) -> None:
        """Of a pool: the stacks that name it, of all namespaces."""
        if ref.kind == Kind.POOL:
            for stack in self._cache.stack_refs_of(ref):
                self._queue.add(stack)

    def enqueue(self, resource: Ref) -> None:
        """Another resource has something new for this one, such as a key."""
        if self._cache.has_resource(resource):
            self._queue.add(resource)

    def _enqueue_pools(self, kind: str, before: Manifest | None, now: Manifest | None) -> None:
        """Of a stack that came, went, was replaced or moved: the pools that give it a key or took it away."""
        if kind != Kind.STACK:
            return
        known = {(each["metadata"]["uid"], pool_ref_of(each)) for each in (before, now) if each is not None}
        if len(known) == 1 and before is not None and now is not None:
            return
        for _, pool in known:
            self.enqueue(pool)


def _urgency(resource: Mapping[str, Any]) -> Urgency:
    """By what its status says of the last reconcile."""
    observed = (resource.get("status") or {}).get("observedGeneration")
    if observed is None:
        return Urgency.NEW
    return Urgency.ROUTINE if observed == resource["metadata"].get("generation") else Urgency.EDITED
