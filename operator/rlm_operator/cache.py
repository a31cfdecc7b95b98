"""What the operator knows of the cluster: custom resources, their children, and which versions are its own writes.

Filled by `feed.py` from watches and lists, and by reconciles from the answers to their writes; an older version never
replaces a newer one. Plain memory: after a restart it is filled anew.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from rlm_operator.kinds import Ref, pool_ref_of
from rlm_operator.live import Live, is_older
from rlm_operator.packed import pack, unpack
from rlm_operator.resource import Kind, Manifest


@dataclass(frozen=True)
class _Held:
    """A custom resource, with what is asked for without unpacking it."""

    uid: str
    version: str
    pool: Ref | None
    body: bytes

    @property
    def manifest(self) -> Manifest:
        return unpack(self.body)


class Cache:
    """Latest known state per object."""

    def __init__(self) -> None:
        self._resources: dict[Ref, _Held] = {}
        self._children: dict[Ref, Live] = {}
        self._by_owner: defaultdict[str, set[Ref]] = defaultdict(set)
        self._written: dict[Ref, str] = {}
        self._by_pool: defaultdict[Ref, set[Ref]] = defaultdict(set)

    def resource(self, ref: Ref) -> Manifest | None:
        """Without managed fields, and the caller's own."""
        held = self._resources.get(ref)
        return held.manifest if held else None

    def has_resource(self, ref: Ref) -> bool:
        return ref in self._resources

    def resources(self) -> dict[Ref, str]:
        """The version of each."""
        return {ref: held.version for ref, held in self._resources.items()}

    def stacks_of(self, pool: Ref) -> list[Manifest]:
        """Stacks that name this pool, allowed or not, sorted."""
        return [self._resources[ref].manifest for ref in self.stack_refs_of(pool)]

    def stack_refs_of(self, pool: Ref) -> list[Ref]:
        """Likewise."""
        return sorted(self._by_pool.get(pool, ()))

    def put_resource(self, ref: Ref, manifest: Manifest) -> bool:
        """Returns whether this was news."""
        known = self._resources.get(ref)
        uid, version = manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
        if known is not None and not _is_news(known.uid, known.version, uid, version):
            return False
        self.drop_resource(ref)
        pool = pool_ref_of(manifest) if ref.kind == Kind.STACK else None
        self._resources[ref] = _Held(uid, version, pool, pack(_without_managers(manifest)))
        if pool is not None:
            self._by_pool[pool].add(ref)
        return True

    def drop_resource(self, ref: Ref) -> None:
        known = self._resources.pop(ref, None)
        if known is not None and known.pool is not None:
            self._by_pool[known.pool].discard(ref)
            if not self._by_pool[known.pool]:
                del self._by_pool[known.pool]

    def is_current(self, ref: Ref, uid: str, version: str) -> bool:
        """Whether an object is known in this version or a later one."""
        known: tuple[str, str] | None = None
        if (held := self._resources.get(ref)) is not None:
            known = held.uid, held.version
        elif (live := self._children.get(ref)) is not None:
            known = live.uid, live.resource_version
        return known is not None and not _is_news(*known, uid, version)

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
