"""All Secrets that the operator makes for one resource: random keys, the keys of a pool's callers, certificates.

Called by `reconcile.py` before the other children are written, so that pods find what they mount.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from rlm_operator.cache import Cache
from rlm_operator.conditions import Condition, Reason
from rlm_operator.errors import ConflictError, NotFoundError, RefusedError
from rlm_operator.feed import Feed
from rlm_operator.inputs import PoolTerms
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.metrics import Metrics
from rlm_operator.names import pool_authority_secret
from rlm_operator.objects.secret import generated_keys, made_secret_names
from rlm_operator.ownership import Guard, NameTakenError
from rlm_operator.recent_secrets import RecentSecrets
from rlm_operator.resource import Kind, Manifest, Pool, Resource, Stack
from rlm_operator.status import Refusal, refusal_of
from rlm_operator.trust.authority import Lifetimes
from rlm_operator.trust.caller_keys import CallerKeys
from rlm_operator.trust.callers import find_callers, find_refused
from rlm_operator.trust.certificates import Certificates, Certified
from rlm_operator.trust.expiries import Expiries
from rlm_operator.trust.issuer import Issuer
from rlm_operator.trust.secret_door import SecretDoor


@dataclass
class Settled:
    """`refusals`: Secrets that could not be written. `secrets`: the generated ones, by name, as they are now.
    `again`: seconds until a certificate is due."""

    refusals: list[Refusal] = field(default_factory=list)
    secrets: dict[str, Manifest] = field(default_factory=dict)
    certificates: Condition | None = None
    again: float | None = None

    def add(self, certified: Certified) -> None:
        self.refusals += certified.refusals
        self.certificates, self.again = certified.condition, certified.again


class Credentials:
    """Its collaborators live as long as the process."""

    def __init__(self, api: RecentSecrets, cache: Cache, feed: Feed, metrics: Metrics, lifetimes: Lifetimes) -> None:
        self._cache = cache
        self._feed = feed
        self._door = SecretDoor(api, metrics)
        self._caller_keys = CallerKeys(api, cache, self._door)
        expiries = Expiries()
        self._certificates = Certificates(self._door, Issuer(self._door, feed, lifetimes), expiries)
        metrics.certificate_expiry.set_function(expiries.soonest)

    async def settle(
        self,
        resource: Resource,
        guard: Guard,
        wanted: Sequence[Manifest],
        terms: PoolTerms,
        served: Set[str],
        *,
        is_untouched: bool,
    ) -> Settled:
        """`wanted`: the rendered children. `terms`: of a stack, those of its pool. `served`: optional kinds.
        `is_untouched`: neither status nor children are there, so most likely no Secret either.

        Raises UnavailableError, OwnerGoneError.
        """
        settled, made_one = Settled(), False
        if is_untouched:
            self._door.presume_missing(resource.identity.namespace, made_secret_names(resource.identity))
        for child in wanted:
            if generated_keys(child):
                ref = ref_of(child)
                try:
                    further = await self._further_entries(resource)
                    settled.secrets[ref.name], is_made = await self._door.generate(guard, child, further)
                    made_one = made_one or is_made
                except NameTakenError as error:
                    settled.refusals.append(Refusal(ref, Reason.NAME_CONFLICT, str(error)))
                except (RefusedError, ConflictError, NotFoundError) as error:
                    settled.refusals.append(refusal_of(ref, error))
        match resource:
            case Stack():
                if made_one:
                    self._feed.enqueue(Ref(Kind.POOL, resource.pool_namespace, resource.pool_name))
                settled.add(await self._certificates.settle_stack(resource, terms, served))
            case Pool():
                await self._settle_pool(resource, guard, settled, served)
        return settled

    def forget(self, resource: Ref) -> None:
        """A resource is gone."""
        self._certificates.forget(resource)

    async def retire(self, guard: Guard, needed: Set[str]) -> None:
        """Delete Secrets of ours that the resource no longer needs; no cache knows Secrets, so by name."""
        for name in made_secret_names(guard.owner):
            if name not in needed:
                found = await self._door.fetch_owned(guard.owner.namespace, name, guard.owner)
                if found is not None:
                    await self._door.delete(guard, found)

    async def _further_entries(self, resource: Resource) -> dict[str, str | None]:
        """Of the Secret with a pool's own key, where the operator makes it: the keys of its callers."""
        if not isinstance(resource, Pool) or resource.spec.auth.secret_ref is not None:
            return {}
        return await self._caller_keys.entries(find_callers(resource, self._stacks_of(resource)))

    def _stacks_of(self, pool: Pool) -> list[Manifest]:
        return self._cache.stacks_of(Ref(Kind.POOL, pool.identity.namespace, pool.identity.name))

    async def _settle_pool(self, pool: Pool, guard: Guard, settled: Settled, served: Set[str]) -> None:
        identity = pool.identity
        stacks = self._stacks_of(pool)
        callers, refused = find_callers(pool, stacks), find_refused(pool, stacks)
        try:
            if pool.spec.auth.secret_ref is not None:
                await self._caller_keys.deliver(pool, guard, callers, refused)
            elif pool.key_secret in settled.secrets:
                await self._caller_keys.collect(pool, guard, settled.secrets[pool.key_secret], callers)
        except (RefusedError, ConflictError, NotFoundError) as error:
            settled.refusals.append(refusal_of(Ref("Secret", identity.namespace, pool.key_secret), error))
        try:
            settled.add(await self._certificates.settle_pool(pool, guard, callers, refused, served))
        except NameTakenError as error:
            taken = Ref("Secret", identity.namespace, pool_authority_secret(identity.name))
            settled.refusals.append(Refusal(taken, Reason.NAME_CONFLICT, str(error)))
        except (RefusedError, ConflictError, NotFoundError) as error:
            authority = Ref("Secret", identity.namespace, pool_authority_secret(identity.name))
            settled.refusals.append(refusal_of(authority, error))
