"""Reads what the checklist judges from an API server, as the user that runs `rlmctl verify`.

No Secret is read, and nothing that the operator wrote into a status is believed: it is compared only. Requests are a
few lists for each namespace, and three reads for each resource.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_operator.api import KubernetesApi
from rlm_operator.checklist.assessment import Check, assess_pool, assess_stack
from rlm_operator.checklist.evidence import PlaneEvidence
from rlm_operator.errors import NotFoundError
from rlm_operator.kinds import RESOURCE_KINDS, Ref, ref_of
from rlm_operator.objects.owner import plane_of
from rlm_operator.resource import Kind, Manifest, identify

_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Verdict:
    """One resource. `published`: item to what the status of the resource says; empty without a checklist there."""

    ref: Ref
    checks: Sequence[Check]
    published: Mapping[str, bool]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


async def verify_resources(api: KubernetesApi, namespace: str, name: str | None) -> list[Verdict]:
    """Stacks first, each by name. `name` None: all of the namespace. Raises ApiError."""
    found: dict[Ref, Manifest] = {}
    for kind in RESOURCE_KINDS:
        for manifest in (await api.fetch_list(kind, namespace, None)).items:
            found[ref_of(manifest, kind)] = manifest
    policies: dict[str, list[Manifest]] = {}
    verdicts = []
    for ref, manifest in found.items():
        if name in (None, ref.name):
            checks = await _assess(api, ref, manifest, policies)
            verdicts.append(Verdict(ref, checks, _published(manifest)))
    return verdicts


async def _assess(api: KubernetesApi, ref: Ref, manifest: Manifest, policies: dict[str, list[Manifest]]) -> list[Check]:
    own = await _collect(api, ref, policies)
    if ref.kind == Kind.POOL:
        return assess_pool(own)
    pool = _pool_of(ref, manifest)
    try:
        await api.fetch(pool)
    except NotFoundError:
        return assess_stack(own, None)
    return assess_stack(own, await _collect(api, pool, policies))


async def _collect(api: KubernetesApi, ref: Ref, policies: dict[str, list[Manifest]]) -> PlaneEvidence:
    """`policies` by namespace, as far as they were read."""
    plane = plane_of(identify({"kind": ref.kind, "metadata": {"name": ref.name, "namespace": ref.namespace}}))
    if ref.namespace not in policies:
        policies[ref.namespace] = (await api.fetch_list("NetworkPolicy", ref.namespace, None)).items
    selector = ",".join(f"{key}={value}" for key, value in plane.selector.items())
    pods = (await api.fetch_list("Pod", ref.namespace, selector)).items
    return PlaneEvidence(
        component=plane.component,
        workload=plane.workload,
        deployment=await _fetch(api, Ref("Deployment", ref.namespace, plane.workload)),
        config_map=await _fetch(api, Ref("ConfigMap", ref.namespace, plane.workload)),
        policies=policies[ref.namespace],
        pods=[pod for pod in pods if (pod.get("status") or {}).get("phase") not in _FINISHED],
    )


async def _fetch(api: KubernetesApi, ref: Ref) -> Manifest | None:
    try:
        return await api.fetch(ref)
    except NotFoundError:
        return None


def _pool_of(stack: Ref, manifest: Manifest) -> Ref:
    """The pool that a stack refers to, else its own, which has its name; whatever else the spec holds."""
    reference = (manifest.get("spec") or {}).get("sandboxPoolRef") or {}
    namespace = reference.get("namespace") or stack.namespace
    return Ref(Kind.POOL, namespace, reference.get("name") or stack.name)


def _published(manifest: Mapping[str, Any]) -> dict[str, bool]:
    checklist = (manifest.get("status") or {}).get("checklist") or ()
    return {entry["item"]: entry["passed"] for entry in checklist}
