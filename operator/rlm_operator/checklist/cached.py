"""The checklist of a resource out of what the operator has in its cache: no request is made for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlm_operator.cache import Cache
from rlm_operator.checklist.assessment import Check, assess_pool, assess_stack
from rlm_operator.checklist.evidence import PlaneEvidence
from rlm_operator.objects.owner import plane_of
from rlm_operator.resource import Identity, Resource, Stack, identify


def assess_cached(cache: Cache, resource: Resource, pool: Mapping[str, Any] | None) -> list[Check]:
    """`pool`: of a stack, the pool that runs its code; None while it does not exist."""
    own = _evidence(cache, resource.identity)
    if not isinstance(resource, Stack):
        return assess_pool(own)
    return assess_stack(own, None if pool is None else _evidence(cache, identify(pool)))


def _evidence(cache: Cache, identity: Identity) -> PlaneEvidence:
    plane = plane_of(identity)
    children = cache.children_of(identity.uid)
    named = {live.ref.kind: live.manifest for live in children if live.ref.name == plane.workload}
    return PlaneEvidence(
        component=plane.component,
        workload=plane.workload,
        deployment=named.get("Deployment"),
        config_map=named.get("ConfigMap"),
        policies=[live.manifest for live in children if live.ref.kind == "NetworkPolicy"],
    )
