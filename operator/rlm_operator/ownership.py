"""Whose an object is: the guard before the first write of a reconcile, and the rule that nothing is taken over.

`children.py` and `trust/` ask before they write.
"""

from __future__ import annotations

import asyncio

from rlm_operator.api import KubernetesApi
from rlm_operator.errors import NotFoundError, OwnerGoneError
from rlm_operator.kinds import Ref
from rlm_operator.live import Live
from rlm_operator.resource import Identity


class NameTakenError(Exception):
    """An object of this name exists and is not ours."""


class Guard:
    """Before the first write of a reconcile: is the owner still the one that was read?

    A watch may have missed its deletion; without this its children would come back to life.
    """

    def __init__(self, api: KubernetesApi, owner: Identity) -> None:
        self.owner = owner
        self._api = api
        self._checked = False
        self._checking = asyncio.Lock()

    @property
    def has_passed(self) -> bool:
        """Whether something was, or was about to be, written."""
        return self._checked

    async def check(self) -> None:
        """Raises OwnerGoneError. Of several at once one asks."""
        async with self._checking:
            if not self._checked:
                await self._check()
                self._checked = True

    async def _check(self) -> None:
        try:
            found = await self._api.fetch(Ref(self.owner.kind, self.owner.namespace, self.owner.name))
        except NotFoundError as error:
            raise OwnerGoneError(f"{self.owner.kind} {self.owner.name} is gone") from error
        metadata = found["metadata"]
        if metadata["uid"] != self.owner.uid or "deletionTimestamp" in metadata:
            raise OwnerGoneError(f"{self.owner.kind} {self.owner.name} is being deleted or was replaced")


def is_owned_by(found: Live, owner: Identity) -> bool:
    return found.owner is not None and found.owner.uid == owner.uid


def check_owner(owner: Identity, found: Live) -> None:
    """Raises NameTakenError."""
    if is_owned_by(found, owner):
        return
    holder = f"{found.owner.ref}" if found.owner else "somebody else"
    raise NameTakenError(
        f"exists already and belongs to {holder}: delete or rename it, or give this {owner.kind} another name"
    )
