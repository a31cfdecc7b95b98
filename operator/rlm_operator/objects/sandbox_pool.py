"""The SandboxPool that a stack with an inline `sandbox` owns; it has the stack's name."""

from __future__ import annotations

from rlm_operator.names import API_VERSION
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Kind, Manifest
from rlm_operator.spec.pool import SandboxPoolSpec


def build_sandbox_pool(plane: Plane, spec: SandboxPoolSpec, *, suspend: bool) -> Manifest:
    """Every default is written out, so that a file and a live stack give the same object. `suspend`: the stack's, with
    which its pool goes, since nobody else uses it."""
    spec = spec.model_copy(update={"suspend": suspend or spec.suspend})
    return {
        "apiVersion": API_VERSION,
        "kind": str(Kind.POOL),
        "metadata": build_metadata(plane, plane.instance),
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
