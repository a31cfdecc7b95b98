"""Where the pods of a plane run: what the operator prefers itself, beside what the spec's `podTemplate` asks for.

Called by `pod.py`. Nothing here can loosen a pod: scheduling fields say where it runs, not what it may.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rlm_operator.objects.owner import Plane
from rlm_operator.resource import Manifest
from rlm_operator.spec.pod_template import PodTemplate
from rlm_operator.spec.scheduling import Scheduling

_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_SPOT_LABELS: Final = (
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
"""Labels that clouds and Karpenter put on nodes that may be taken away; where such nodes have a taint, it has the same
key and value."""


@dataclass(frozen=True)
class Placement:
    """`near`: weighted pod affinity terms that are preferred. `scheduling`: of a pool."""

    template: PodTemplate
    near: tuple[Manifest, ...]
    scheduling: Scheduling


def build_placement(plane: Plane, placement: Placement) -> Manifest:
    """The fields of a pod's spec that say where it runs; those that nobody asks for are left out."""
    template, scheduling = placement.template, placement.scheduling
    fields: Manifest = {
        "affinity": _affinity(placement),
        "nodeSelector": template.node_selector,
        "tolerations": _tolerations(placement),
        "topologySpreadConstraints": [
            _spread(plane, "topology.kubernetes.io/zone"),
            _spread(plane, "kubernetes.io/hostname"),
        ]
        if scheduling.topology_spread
        else None,
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": scheduling.runtime_class_name,
        "imagePullSecrets": [{"name": secret.name} for secret in template.image_pull_secrets or ()],
    }
    return {name: value for name, value in fields.items() if value}


def _tolerations(placement: Placement) -> list[Manifest]:
    spot = _SPOT_LABELS if placement.scheduling.spot else ()
    written = placement.template.tolerations or ()
    return [
        *({"key": key, "operator": "Equal", "value": value} for key, value in spot),
        *(toleration.model_dump(mode="json", by_alias=True, exclude_none=True) for toleration in written),
    ]


def _affinity(placement: Placement) -> Manifest:
    """The template's affinity, with the operator's preferences added to the template's own."""
    written = placement.template.affinity
    affinity: Manifest = written.model_dump(mode="json", by_alias=True, exclude_none=True) if written else {}
    spot = _SPOT_LABELS if placement.scheduling.spot else ()
    for section, preferences in (("podAffinity", placement.near), ("nodeAffinity", [_node(*label) for label in spot])):
        if preferences:
            found = affinity.get(section, {})
            affinity[section] = {**found, _PREFERRED: [*preferences, *found.get(_PREFERRED, [])]}
    return {section: terms for section, terms in affinity.items() if terms}


def _node(key: str, value: str) -> Manifest:
    expression = {"key": key, "operator": "In", "values": [value]}
    return {"weight": 20, "preference": {"matchExpressions": [expression]}}


def _spread(plane: Plane, topology: str) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": plane.selector},
    }
