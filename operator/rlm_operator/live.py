"""What the operator keeps of an object that exists: enough to compare it, own it and read its state. Pure.

Bodies are kept packed, since an operator of a thousand stacks holds some twenty thousand of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rlm_operator.digest import covers
from rlm_operator.inputs import LiveScale
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.names import API_VERSION, FIELD_MANAGER, HASH_ANNOTATION
from rlm_operator.packed import pack, unpack
from rlm_operator.resource import Manifest

_METADATA: Final = ("name", "namespace", "labels", "annotations", "ownerReferences")


@dataclass(frozen=True)
class Owner:
    """The custom resource that an object belongs to."""

    ref: Ref
    uid: str


@dataclass(frozen=True)
class Live:
    """One object as last seen. `scale` is for Deployments."""

    ref: Ref
    uid: str
    resource_version: str
    generation: int
    owner: Owner | None
    deleting: bool
    body: bytes
    scale: LiveScale | None

    @property
    def manifest(self) -> Manifest:
        """The object without managedFields."""
        return unpack(self.body)

    @property
    def status(self) -> Manifest:
        status: Manifest = self.manifest.get("status") or {}
        return status


def observe(manifest: Mapping[str, Any], kind: str | None = None) -> Live:
    """Take from a full object what is worth keeping; `kind` is for items of a list."""
    ref = ref_of(manifest, kind)
    metadata = manifest["metadata"]
    kept = {key: value for key, value in manifest.items() if key not in ("metadata", "kind", "apiVersion")}
    kept["metadata"] = {key: metadata[key] for key in _METADATA if key in metadata}
    return Live(
        ref=ref,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        owner=find_owner(metadata, ref.namespace),
        deleting="deletionTimestamp" in metadata,
        body=pack(kept),
        scale=_scale(manifest) if ref.kind == "Deployment" else None,
    )


def is_in_sync(wanted: Manifest, live: Live, *, own_write: bool) -> bool:
    """Whether applying `wanted` would change nothing, as far as the live object tells.

    `own_write`: this version came from our own apply. Then the digest is enough, since what still differs was rewritten
    by the API server (`1000m` as `1`, an empty list left out) and would be again.
    """
    found = live.manifest
    applied = (found["metadata"].get("annotations") or {}).get(HASH_ANNOTATION)
    if applied != wanted["metadata"]["annotations"][HASH_ANNOTATION]:
        return False
    content = {key: value for key, value in wanted.items() if key not in ("kind", "apiVersion")}
    return own_write or covers(content, found)


def at_version(wanted: Manifest, version: str) -> Manifest:
    """`wanted` for one version of the object alone: the API server refuses it with a conflict for any other."""
    return {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}


def is_older(version: str, than: str) -> bool:
    """Compare resource versions of one object; ones that are not numbers count as news."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def find_owner(metadata: Mapping[str, Any], namespace: str) -> Owner | None:
    """The custom resource of ours that controls an object with this metadata."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller") and reference["apiVersion"] == API_VERSION:
            return Owner(Ref(reference["kind"], namespace, reference["name"]), reference["uid"])
    return None


def _scale(deployment: Mapping[str, Any]) -> LiveScale:
    """An apply drops whoever held the field before, so another holder is one that came after us. Nobody holds a 0 that
    was written through the scale subresource, which leaves it out, though our hold on the field ends with it."""
    holders = [
        entry.get("manager")
        for entry in deployment["metadata"].get("managedFields") or ()
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    replicas = deployment["spec"].get("replicas", 1)
    elsewhere = FIELD_MANAGER not in holders and (bool(holders) or replicas == 0)
    return LiveScale(
        replicas=replicas,
        decided_elsewhere=elsewhere,
        version=deployment["metadata"]["resourceVersion"],
    )
