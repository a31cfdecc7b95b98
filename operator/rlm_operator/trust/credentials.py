"""All Secrets that the operator makes for one resource: random keys, and the keys of a pool's callers.

Called by `reconcile.py` before the other children are written, so that pods find what they mount.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from rlm_operator.api import KubernetesApi
from rlm_operator.cache import Cache
from rlm_operator.conditions import Reason
from rlm_operator.errors import ConflictError, NotFoundError, RefusedError
from rlm_operator.feed import Feed
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.metrics import Metrics
from rlm_operator.objects.secret import generated_secret_names
from rlm_operator.ownership import Guard, NameTakenError
from rlm_operator.resource import Kind, Manifest, Pool, Resource, Stack
from rlm_operator.status import Refusal, refusal_of
from rlm_operator.trust.caller_keys import CallerKeys
from rlm_operator.trust.callers import find_callers
from rlm_operator.trust.secret_door import SecretDoor


@dataclass
class Settled:
    """`refusals`: Secrets that could not be written. `secrets`: the generated ones, by name, as they are now."""

    refusals: list[Refusal] = field(default_factory=list)
    secrets: dict[str, Manifest] = field(default_factory=dict)


class Credentials:
    """Its collaborators live as long as the process."""

    def __init__(self, api: KubernetesApi, cache: Cache, feed: Feed, metrics: Metrics) -> None:
        self._cache = cache
        self._feed = feed
        self._door = SecretDoor(api, metrics)
        self._caller_keys = CallerKeys(api, cache, self._door)

    async def settle(self, resource: Resource, guard: Guard, wanted: Sequence[Manifest]) -> Settled:
        """`wanted`: the rendered children. Raises UnavailableError, OwnerGoneError."""
        settled, new = Settled(), False
        for child in wanted:
            if child["kind"] == "Secret":
                ref = ref_of(child)
                try:
                    settled.secrets[ref.name], is_new = await self._door.generate(guard, child)
                    new = new or is_new
                except NameTakenError as error:
                    settled.refusals.append(Refusal(ref, Reason.NAME_CONFLICT, str(error)))
                except (RefusedError, ConflictError, NotFoundError) as error:
                    settled.refusals.append(refusal_of(ref, error))
        match resource:
            case Stack():
                if new:
                    self._feed.enqueue_pool(Ref(Kind.POOL, resource.pool_namespace, resource.pool_name))
            case Pool():
                await self._settle_pool(resource, guard, settled)
        return settled

    async def retire(self, guard: Guard, mounted: Set[str]) -> None:
        """Delete generated Secrets that no pod of the resource mounts; no cache knows Secrets, so by name."""
        for name in generated_secret_names(guard.owner):
            if name not in mounted:
                found = await self._door.fetch_owned(guard.owner.namespace, name, guard.owner)
                if found is not None:
                    await self._door.delete(guard, found)

    async def _settle_pool(self, pool: Pool, guard: Guard, settled: Settled) -> None:
        identity = pool.identity
        callers = find_callers(pool, self._cache.stacks_of(Ref(Kind.POOL, identity.namespace, identity.name)))
        try:
            if pool.spec.auth.secret_ref is not None:
                await self._caller_keys.deliver(pool, guard, callers)
            elif pool.key_secret in settled.secrets:
                await self._caller_keys.collect(pool, guard, settled.secrets[pool.key_secret], callers)
        except (RefusedError, ConflictError, NotFoundError) as error:
            settled.refusals.append(refusal_of(Ref("Secret", identity.namespace, pool.key_secret), error))
