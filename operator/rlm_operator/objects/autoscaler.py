"""HorizontalPodAutoscaler of a plane: CPU use and, of sandboxes, the queue, between the bounds of the spec."""

from __future__ import annotations

from typing import Final

from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.autoscaling import SLOW_DOWN, Autoscaling, Behavior, SandboxAutoscaling, ScalingRules

QUEUE_METRIC: Final = "wasm_execution_queue_length"
"""Gauge of each sandbox pod: cells that wait for a slot."""


def uses_keda(autoscaling: Autoscaling | None, served: frozenset[str]) -> bool:
    """Whether KEDA is asked for and there; otherwise the Kubernetes autoscaler scales."""
    return autoscaling is not None and autoscaling.wants_keda and "ScaledObject" in served


def can_sleep(autoscaling: Autoscaling | None, served: frozenset[str]) -> bool:
    """Whether the autoscaler may take the last pod, because something can bring one back."""
    return autoscaling is not None and autoscaling.may_sleep and uses_keda(autoscaling, served)


def build_autoscaler(plane: Plane, autoscaling: Autoscaling, *, custom_metrics: bool) -> Manifest:
    """`custom_metrics`: whether the cluster serves them. With a metric that cannot be read an autoscaler never scales
    down, so the queue is left out where it can not."""
    queue = queue_target(autoscaling) if custom_metrics else None
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": build_metadata(plane),
        "spec": {
            "scaleTargetRef": build_target(plane),
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [_cpu(autoscaling), *([] if queue is None else [_queue(queue)])],
            "behavior": build_behavior(autoscaling.behavior),
        },
    }


def queue_target(autoscaling: Autoscaling) -> int | None:
    """Waiting cells per pod to aim at, where the spec says so."""
    return autoscaling.target_queue_length if isinstance(autoscaling, SandboxAutoscaling) else None


def build_target(plane: Plane) -> Manifest:
    """What an autoscaler scales: the Deployment, never the custom resource, whose spec belongs to its user."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": plane.workload}


def build_behavior(behavior: Behavior) -> Manifest:
    """A direction that is written is taken whole; up goes as Kubernetes has it, down goes slowly."""
    rules = {"scaleUp": behavior.scale_up, "scaleDown": behavior.scale_down or SLOW_DOWN}
    return {direction: _rules(rule) for direction, rule in rules.items() if rule is not None}


def _rules(rules: ScalingRules) -> Manifest:
    plain: Manifest = rules.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in plain.items() if value != []}


def _cpu(autoscaling: Autoscaling) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _queue(length: int) -> Manifest:
    target = {"type": "AverageValue", "averageValue": str(length)}
    return {"type": "Pods", "pods": {"metric": {"name": QUEUE_METRIC}, "target": target}}
