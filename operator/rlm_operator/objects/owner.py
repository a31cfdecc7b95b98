"""Metadata that children share, the identity of a plane's workload, and who owns a child."""

from __future__ import annotations

from dataclasses import dataclass

from rlm_operator.digest import digest
from rlm_operator.names import (
    API_VERSION,
    HASH_ANNOTATION,
    INFERENCE,
    SANDBOX,
    object_labels,
    pool_workload,
    selector_labels,
    stack_workload,
)
from rlm_operator.resource import Identity, Kind, Manifest


@dataclass(frozen=True)
class Plane:
    """One plane of one resource: what its children are called and labelled."""

    component: str
    instance: str
    namespace: str
    workload: str

    @property
    def labels(self) -> dict[str, str]:
        return object_labels(self.component, self.instance)

    @property
    def selector(self) -> dict[str, str]:
        return selector_labels(self.component, self.instance)

    @property
    def network(self) -> str:
        """Value of the network label of its pods."""
        return self.workload


def plane_of(identity: Identity) -> Plane:
    """The plane that a resource's own workload belongs to: a stack serves inference, a pool sandboxes."""
    if identity.kind is Kind.STACK:
        return Plane(INFERENCE, identity.name, identity.namespace, stack_workload(identity.name))
    return Plane(SANDBOX, identity.name, identity.namespace, pool_workload(identity.name))


def build_metadata(plane: Plane, name: str | None = None) -> Manifest:
    """Metadata of a child; its name is the workload's unless said."""
    return {"name": name or plane.workload, "namespace": plane.namespace, "labels": plane.labels}


def build_owned(child: Manifest, owner: Identity) -> Manifest:
    """The child with its digest and, once the owner has a uid, a reference to it.

    A file that no API server has seen gives the same child without the reference; nothing else differs.
    """
    metadata = dict(child["metadata"])
    if child["kind"] != "Secret":
        metadata["annotations"] = {**metadata.get("annotations", {}), HASH_ANNOTATION: digest(child)}
    if owner.uid:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": str(owner.kind),
                "name": owner.name,
                "uid": owner.uid,
                # Without blockOwnerDeletion, which would ask for rights on the owner's finalizers.
                "controller": True,
            }
        ]
    return {**child, "metadata": metadata}
