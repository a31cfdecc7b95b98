"""Which stacks may call a pool, and how the entries of its key Secret follow them. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rlm_operator.names import CALLER_PREFIX, caller_entry
from rlm_operator.resource import Identity, Manifest, Pool, identify

_SHORTEST_KEY: Final = 16
_LONGEST_KEY: Final = 512


@dataclass(frozen=True)
class Caller:
    """A stack that names a pool and that the pool allows."""

    stack: Identity

    @property
    def entry(self) -> str:
        """Of the pool's key Secret."""
        return caller_entry(self.stack.namespace, self.stack.name)


def may_use(pool_namespace: str, allowed_namespaces: Iterable[str], namespace: str) -> bool:
    """Whether stacks of `namespace` may use a pool."""
    return namespace == pool_namespace or namespace in allowed_namespaces


def find_callers(pool: Pool, stacks: Iterable[Manifest]) -> list[Caller]:
    """Of the stacks that name this pool, those that may use it and are not being deleted."""
    identities = [identify(stack) for stack in stacks if "deletionTimestamp" not in stack["metadata"]]
    allowed = pool.spec.allowed_namespaces
    return [
        Caller(identity) for identity in identities if may_use(pool.identity.namespace, allowed, identity.namespace)
    ]


def find_refused(pool: Pool, stacks: Iterable[Manifest]) -> list[Identity]:
    """Of the stacks that name this pool, those that may not use it."""
    identities = [identify(stack) for stack in stacks]
    allowed = pool.spec.allowed_namespaces
    return [each for each in identities if not may_use(pool.identity.namespace, allowed, each.namespace)]


def find_strangers(entries: Iterable[str], callers: Iterable[Caller]) -> list[str]:
    """Entries that the operator made for a stack that is no caller (any more)."""
    known = {caller.entry for caller in callers}
    return sorted(entry for entry in entries if entry.startswith(CALLER_PREFIX) and entry not in known)


def is_usable_key(encoded: str | None) -> bool:
    """Whether an entry (base64) can be a bearer key: 16 to 512 visible ASCII characters.

    A tenant may write what they like into a Secret of their namespace; what others' pools read of it is bounded.
    """
    try:
        key = base64.b64decode(encoded or "", validate=True).strip()
    except binascii.Error:
        return False
    return _SHORTEST_KEY <= len(key) <= _LONGEST_KEY and all(33 <= byte <= 126 for byte in key)


def plan_entries(entries: Mapping[str, str], granted: Mapping[str, str | None]) -> dict[str, str | None]:
    """A merge patch of a Secret's data that makes the entries in `granted` what they should be (None: not there)."""
    return {entry: key for entry, key in granted.items() if entries.get(entry) != key}


def data_of(secret: Mapping[str, Any] | None) -> dict[str, str]:
    """Entries of a Secret, in base64."""
    return dict((secret or {}).get("data") or {})
