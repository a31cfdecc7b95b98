"""Reads and writes of single Secrets, with the rules that hold for all that the operator makes.

They are read by name, created rather than applied (of two operators at once one would otherwise overwrite the other's
key), and changed only as of the version that was read. No message holds what is in them.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable, Mapping

from rlm_operator.errors import ConflictError, NotFoundError
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.live import observe
from rlm_operator.metrics import Metrics
from rlm_operator.objects.secret import build_filled_secret, generated_keys
from rlm_operator.ownership import Guard, check_owner, is_owned_by
from rlm_operator.recent_secrets import RecentSecrets
from rlm_operator.resource import Identity, Manifest


class SecretDoor:
    """Every method raises ApiError."""

    def __init__(self, api: RecentSecrets, metrics: Metrics) -> None:
        self._api = api
        self._metrics = metrics

    async def fetch(self, namespace: str, name: str) -> Manifest | None:
        """None when it does not exist."""
        try:
            return await self._api.fetch(Ref("Secret", namespace, name))
        except NotFoundError:
            return None

    def is_owned(self, found: Manifest | None, owner: Identity) -> bool:
        return found is not None and is_owned_by(observe(found, "Secret"), owner)

    def check_owner(self, found: Manifest, owner: Identity) -> None:
        """Raises NameTakenError when somebody else has a Secret of that name."""
        check_owner(owner, observe(found, "Secret"))

    async def fetch_owned(self, namespace: str, name: str, owner: Identity) -> Manifest | None:
        """None when it does not exist, is going, or belongs to somebody else."""
        found = await self.fetch(namespace, name)
        if found is None or not self.is_owned(found, owner) or "deletionTimestamp" in found["metadata"]:
            return None
        return found

    def presume_missing(self, namespace: str, names: Iterable[str]) -> None:
        """So that nobody looks for these before they are created: their owner is new."""
        self._api.presume_missing(Ref("Secret", namespace, name) for name in names)

    async def generate(self, guard: Guard, child: Manifest, further: Mapping[str, str | None]) -> tuple[Manifest, bool]:
        """A Secret with random keys, and whether it is new; one that exists is never touched, so no key is rotated.

        `further`: entries in base64 that a new one has besides. Raises NameTakenError when somebody else has one of
        that name.
        """
        ref = ref_of(child)
        found = await self.fetch(ref.namespace, ref.name)
        if found is None:
            filled = build_filled_secret(child, {key: secrets.token_urlsafe(32) for key in generated_keys(child)})
            given = {entry: value for entry, value in further.items() if value is not None}
            try:
                return await self.create(guard, {**filled, "data": {**filled["data"], **given}}, guard.owner), True
            except ConflictError:
                found = await self.fetch(ref.namespace, ref.name)
                if found is None:
                    raise
        check_owner(guard.owner, observe(found))
        return found, False

    async def create(self, guard: Guard, secret: Manifest, owner: Identity) -> Manifest:
        """Raises NameTakenError when somebody else has one of that name, ConflictError when `owner` has."""
        await guard.check()
        try:
            created = await self._api.create(secret)
        except ConflictError:
            found = await self.fetch(owner.namespace, secret["metadata"]["name"])
            if found is not None:
                self.check_owner(found, owner)
            raise
        self._metrics.writes.labels("Secret").inc()
        return created

    async def change(self, guard: Guard, found: Manifest, data: Mapping[str, str | None]) -> Manifest:
        """Entries in base64; None removes one. ConflictError when somebody changed it since it was read."""
        await guard.check()
        version = found["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "data": dict(data)}
        changed = await self._api.merge(ref_of(found, "Secret"), patch)
        self._metrics.writes.labels("Secret").inc()
        return changed

    async def delete(self, guard: Guard, found: Manifest) -> None:
        await guard.check()
        try:
            await self._api.delete(ref_of(found, "Secret"), found["metadata"]["uid"])
            self._metrics.writes.labels("Secret").inc()
        except (NotFoundError, ConflictError):
            pass  # Gone, or replaced by somebody else's: either way not ours to delete any more.


def decode(secret: Manifest | None) -> dict[str, bytes]:
    """Entries of a Secret; one that is no base64 counts as empty."""
    entries: dict[str, bytes] = {}
    for name, value in ((secret or {}).get("data") or {}).items():
        try:
            entries[name] = base64.b64decode(value or "")
        except binascii.Error:
            entries[name] = b""
    return entries


def encode(entries: Mapping[str, bytes | None]) -> dict[str, str | None]:
    """As the API has them; None stays None."""
    return {name: None if value is None else base64.b64encode(value).decode() for name, value in entries.items()}
