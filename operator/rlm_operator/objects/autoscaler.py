"""HorizontalPodAutoscaler of a plane: CPU use, between the bounds of the spec."""

from __future__ import annotations

from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.workload import Autoscaling


def build_autoscaler(plane: Plane, autoscaling: Autoscaling) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_utilization}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": build_metadata(plane),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": plane.workload},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
