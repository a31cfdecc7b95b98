"""Makes the children of one custom resource what they should be: applies what differs, deletes what is left over.

Called by `reconcile.py`. A child that is refused does not keep the others from being written.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from rlm_operator.api import KubernetesApi
from rlm_operator.cache import Cache
from rlm_operator.conditions import Reason
from rlm_operator.digest import differing_lists
from rlm_operator.errors import ConflictError, NotFoundError, OwnerGoneError, RefusedError
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.live import Live, is_in_sync, observe
from rlm_operator.metrics import Metrics
from rlm_operator.objects.secret import build_filled_secret, generated_keys, generated_secret_name
from rlm_operator.resource import Identity, Manifest
from rlm_operator.status import Refusal, refusal_of


@dataclass
class Synced:
    """`refusals`: children that could not be written. `secrets`: the generated ones, by name, as they are now."""

    refusals: list[Refusal] = field(default_factory=list)
    secrets: dict[str, Manifest] = field(default_factory=dict)


class Children:
    """Writes children and remembers the answers in the cache."""

    def __init__(self, api: KubernetesApi, cache: Cache, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics
        self._taken: set[Ref] = set()  # names under which somebody else's object was found

    async def sync(self, owner: Identity, wanted: Sequence[Manifest], mounted: Set[str]) -> Synced:
        """`mounted`: names of the Secrets that the owner's pods mount.

        Raises UnavailableError when the API server does not answer, OwnerGoneError when the owner is gone.
        """
        synced = Synced()
        guard = _Guard(self._api, owner)
        for child in wanted:
            ref = ref_of(child)
            try:
                if ref.kind == "Secret":
                    synced.secrets[ref.name] = await self._ensure_secret(guard, ref, child)
                else:
                    await self._ensure(guard, ref, child)
            except _NameTakenError as error:
                synced.refusals.append(Refusal(ref, Reason.NAME_CONFLICT, str(error)))
            except (RefusedError, ConflictError, NotFoundError) as error:
                synced.refusals.append(refusal_of(ref, error))
        kept = {ref_of(child) for child in wanted}
        if generated_secret_name(owner) not in mounted:
            await self._retire_secret(guard)
        for live in self._cache.children_of(owner.uid):
            if live.ref not in kept and not live.deleting:
                try:
                    await self._delete(guard, live)
                except RefusedError as error:
                    synced.refusals.append(refusal_of(live.ref, error))
        return synced

    async def _ensure(self, guard: _Guard, ref: Ref, child: Manifest) -> None:
        live = self._cache.child(ref)
        if live is not None and live.owner is not None and live.owner.uid == guard.owner.uid:
            # One that is being deleted comes back when its deletion is seen.
            if live.deleting or is_in_sync(child, live, own_write=self._cache.is_own_write(live)):
                return
            await guard.check()
            written = await self._apply(ref, child, live)
        else:
            written = await self._make(guard, ref, child)
        self._cache.put_written(observe(written))
        self._metrics.writes.labels(ref.kind).inc()

    async def _make(self, guard: _Guard, ref: Ref, child: Manifest) -> Manifest:
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

    async def _ensure_secret(self, guard: _Guard, ref: Ref, child: Manifest) -> Manifest:
        """Create a Secret with random keys; one that exists is never touched, so no key is ever rotated.

        Created rather than applied: of two operators at once one would then overwrite the other's key.
        """
        try:
            found = await self._api.fetch(ref)
        except NotFoundError:
            await guard.check()
            created = await self._api.create(build_filled_secret(child, _random(generated_keys(child))))
            self._metrics.writes.labels(ref.kind).inc()
            return created
        _check_owner(guard.owner, observe(found))
        return found

    async def _retire_secret(self, guard: _Guard) -> None:
        """Delete the generated Secret of a resource that no longer asks for one; no cache knows Secrets, so by name."""
        ref = Ref("Secret", guard.owner.namespace, generated_secret_name(guard.owner))
        try:
            found = observe(await self._api.fetch(ref))
        except NotFoundError:
            return
        if found.owner is not None and found.owner.uid == guard.owner.uid and not found.deleting:
            await self._delete(guard, found)

    async def _check_free(self, guard: _Guard, ref: Ref) -> None:
        """Raises _NameTakenError."""
        self._taken.discard(ref)
        try:
            found = await self._api.fetch(ref)
        except NotFoundError:
            return
        try:
            _check_owner(guard.owner, observe(found))
        except _NameTakenError:
            self._taken.add(ref)
            raise

    async def _delete(self, guard: _Guard, live: Live) -> None:
        await guard.check()
        try:
            await self._api.delete(live.ref, live.uid)
            self._metrics.writes.labels(live.ref.kind).inc()
        except (NotFoundError, ConflictError):
            pass  # Gone, or replaced by somebody else's: either way not ours to delete any more.
        self._cache.drop_child(live.ref)


class _NameTakenError(Exception):
    """An object of this name exists and is not ours."""


class _Guard:
    """Before the first write of a reconcile: is the owner still the one that was read?

    A watch may have missed its deletion; without this its children would come back to life.
    """

    def __init__(self, api: KubernetesApi, owner: Identity) -> None:
        self.owner = owner
        self._api = api
        self._checked = False

    async def check(self) -> None:
        if self._checked:
            return
        try:
            found = await self._api.fetch(Ref(self.owner.kind, self.owner.namespace, self.owner.name))
        except NotFoundError as error:
            raise OwnerGoneError(f"{self.owner.kind} {self.owner.name} is gone") from error
        metadata = found["metadata"]
        if metadata["uid"] != self.owner.uid or "deletionTimestamp" in metadata:
            raise OwnerGoneError(f"{self.owner.kind} {self.owner.name} is being deleted or was replaced")
        self._checked = True


def _check_owner(owner: Identity, found: Live) -> None:
    if found.owner is not None and found.owner.uid == owner.uid:
        return
    holder = f"{found.owner.ref}" if found.owner else "somebody else"
    raise _NameTakenError(
        f"exists already and belongs to {holder}: delete or rename it, or give this {owner.kind} another name"
    )


def _random(keys: Sequence[str]) -> dict[str, str]:
    """256 bits each."""
    return {key: secrets.token_urlsafe(32) for key in keys}
