"""What the operator knows of the cluster: custom resources, their children, and which versions are its own writes.

Filled by `feed.py` from watches and lists, and by reconciles from the answers to their writes; an older version never
replaces a newer one. Plain memory: after a restart it is filled anew.
"""

from __future__ import annotations

from collections import defaultdict

from rlm_operator.kinds import Ref, pool_ref_of
from rlm_operator.live import Live, is_older
from rlm_operator.resource import Kind, Manifest


class Cache:
    """Latest known state per object."""

    def __init__(self) -> None:
        self._resources: dict[Ref, Manifest] = {}
        self._children: dict[Ref, Live] = {}
        self._by_owner: defaultdict[str, set[Ref]] = defaultdict(set)
        self._written: dict[Ref, str] = {}
        self._by_pool: defaultdict[Ref, set[Ref]] = defaultdict(set)

    def resource(self, ref: Ref) -> Manifest | None:
        return self._resources.get(ref)

    def resources(self) -> dict[Ref, Manifest]:
        """A copy."""
        return dict(self._resources)

    def stacks_of(self, pool: Ref) -> list[Manifest]:
        """Stacks that name this pool, allowed or not, sorted."""
        return [self._resources[ref] for ref in sorted(self._by_pool.get(pool, ()))]

    def put_resource(self, ref: Ref, manifest: Manifest) -> bool:
        """Returns whether this was news."""
        known = self._resources.get(ref)
        if known is not None and not _is_news(
            known["metadata"]["uid"],
            known["metadata"]["resourceVersion"],
            manifest["metadata"]["uid"],
            manifest["metadata"]["resourceVersion"],
        ):
            return False
        self.drop_resource(ref)
        self._resources[ref] = _without_managers(manifest)
        if ref.kind == Kind.STACK:
            self._by_pool[pool_ref_of(manifest)].add(ref)
        return True

    def drop_resource(self, ref: Ref) -> None:
        known = self._resources.pop(ref, None)
        if known is not None and ref.kind == Kind.STACK:
            pool = pool_ref_of(known)
            self._by_pool[pool].discard(ref)
            if not self._by_pool[pool]:
                del self._by_pool[pool]

    def child(self, ref: Ref) -> Live | None:
        return self._children.get(ref)

    def children(self) -> dict[Ref, Live]:
        """A copy."""
        return dict(self._children)

    def children_of(self, uid: str) -> list[Live]:
        """Children of the owner with this uid, sorted."""
        return [self._children[ref] for ref in sorted(self._by_owner.get(uid, ()))]

    def put_child(self, live: Live) -> bool:
        """Returns whether this was news."""
        known = self._children.get(live.ref)
        if known is not None and not _is_news(known.uid, known.resource_version, live.uid, live.resource_version):
            return False
        self.drop_child(live.ref)
        self._children[live.ref] = live
        if live.owner is not None:
            self._by_owner[live.owner.uid].add(live.ref)
        return True

    def drop_child(self, ref: Ref) -> None:
        known = self._children.pop(ref, None)
        if known is None or known.owner is None:
            return
        refs = self._by_owner[known.owner.uid]
        refs.discard(ref)
        if not refs:
            del self._by_owner[known.owner.uid]

    def put_written(self, live: Live) -> None:
        """The answer to our own apply of a child."""
        self._written[live.ref] = live.resource_version
        self.put_child(live)

    def is_own_write(self, live: Live) -> bool:
        return self._written.get(live.ref) == live.resource_version


def _is_news(known_uid: str, known_version: str, uid: str, version: str) -> bool:
    return known_uid != uid or not (version == known_version or is_older(version, known_version))


def _without_managers(resource: Manifest) -> Manifest:
    """Who manages which field is half of what a custom resource takes in memory, and nobody asks for it."""
    metadata = {key: value for key, value in resource["metadata"].items() if key != "managedFields"}
    return {**resource, "metadata": metadata}
