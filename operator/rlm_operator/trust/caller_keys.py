"""The keys of a pool's callers: each referencing stack has its own, under its own name.

A stack's reconcile makes the stack's key, once, in the stack's namespace; the pool's reconcile copies it into its
Secret as `rlmstack.NAMESPACE.NAME`. So deleting a stack's key Secret revokes its key and gives it another one, and the
sandbox's audit log, limits and quotas tell stacks apart. Of a pool whose key Secret is the user's, stacks get the entry
`api-key`; it is copied only into other namespaces, since pods mount Secrets of their own namespace.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rlm_operator.api import KubernetesApi
from rlm_operator.cache import Cache
from rlm_operator.errors import NotFoundError
from rlm_operator.kinds import Ref, pool_ref_of
from rlm_operator.names import API_KEY, CALLER_PREFIX, stack_sandbox_key_secret
from rlm_operator.objects.owner import build_owned, plane_of
from rlm_operator.objects.secret import build_secret
from rlm_operator.ownership import Guard
from rlm_operator.resource import Identity, Kind, Manifest, Pool
from rlm_operator.trust.callers import Caller, data_of, find_strangers, is_usable_key, may_use, plan_entries
from rlm_operator.trust.secret_door import SecretDoor

_log = logging.getLogger(__name__)


class CallerKeys:
    """Of all pools."""

    def __init__(self, api: KubernetesApi, cache: Cache, door: SecretDoor) -> None:
        self._api = api
        self._cache = cache
        self._door = door

    async def entries(self, callers: Sequence[Caller]) -> dict[str, str | None]:
        """The key of each caller, in base64; None for one that has no key."""
        return {caller.entry: await self._key_of(caller) for caller in callers}

    async def collect(self, pool: Pool, guard: Guard, secret: Manifest, callers: Sequence[Caller]) -> None:
        """Make `secret`, the pool's generated one, hold the key of each caller and of no stack besides."""
        entries = data_of(secret)
        granted = await self.entries(callers)
        for entry in find_strangers(entries, callers):
            if await self._is_stranger(pool, entry):
                granted[entry] = None
        patch = plan_entries(entries, granted)
        if patch:
            await self._door.change(guard, secret, patch)

    async def deliver(self, pool: Pool, guard: Guard, callers: Sequence[Caller], refused: Sequence[Identity]) -> None:
        """Copy the key of a pool whose Secret is the user's to the callers of other namespaces.

        `refused`: stacks that name the pool and may not use it; a copy that one of them has goes.
        """
        for stack in refused:
            copied = await self._door.fetch_owned(stack.namespace, stack_sandbox_key_secret(stack.name), stack)
            if copied is not None:
                await self._door.delete(guard, copied)
        away = [caller for caller in callers if caller.stack.namespace != pool.identity.namespace]
        if not away:
            return
        key = data_of(await self._door.fetch(pool.identity.namespace, pool.key_secret)).get(API_KEY)
        for caller in away if key else ():
            stack = caller.stack
            name = stack_sandbox_key_secret(stack.name)
            found = await self._door.fetch(stack.namespace, name)
            if found is None:
                wanted = build_owned(build_secret(plane_of(stack), name), stack)
                await self._door.create(guard, {**wanted, "data": {API_KEY: key}}, stack)
            elif await self._door.fetch_owned(stack.namespace, name, stack) and data_of(found).get(API_KEY) != key:
                await self._door.change(guard, found, {API_KEY: key})

    async def _key_of(self, caller: Caller) -> str | None:
        """None while the stack has no key of its own: that revokes the one before."""
        stack = caller.stack
        found = await self._door.fetch_owned(stack.namespace, stack_sandbox_key_secret(stack.name), stack)
        key = data_of(found).get(API_KEY)
        if found is not None and not is_usable_key(key):
            _log.warning(
                "Secret %s in %s: %s must be 16 to 512 visible characters: delete the Secret and it is made anew",
                *(stack_sandbox_key_secret(stack.name), stack.namespace, API_KEY),
            )
            return None
        return key

    async def _is_stranger(self, pool: Pool, entry: str) -> bool:
        """Asked of the API server, because a cache may be behind: a key is never taken from a stack that is there."""
        namespace, _, name = entry.removeprefix(CALLER_PREFIX).partition(".")
        if not may_use(pool.identity.namespace, pool.spec.allowed_namespaces, namespace):
            return True
        try:
            found = await self._api.fetch(Ref(Kind.STACK, namespace, name))
        except NotFoundError:
            return True
        return pool_ref_of(found) != Ref(Kind.POOL, pool.identity.namespace, pool.identity.name)
