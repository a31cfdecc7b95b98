"""KEDA's ScaledObject of a pool: CPU use, the sessions that stacks want, and the way to zero and back.

The sessions are read from the inference pods themselves through the Service of `demand.py`, so no Prometheus is needed.
KEDA makes a HorizontalPodAutoscaler of its own from it (docs/design/0025-scaling.md).
"""

from __future__ import annotations

from typing import Final

from rlm_operator.names import MANAGED_BY_LABEL
from rlm_operator.objects.autoscaler import build_behavior, build_target
from rlm_operator.objects.demand import DEMAND_STATES, demand_location, demand_url
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.autoscaling import SandboxAutoscaling

_POLL_SECONDS: Final = 10
"""How late a pool at zero learns of the first run that waits."""
_COOLDOWN_SECONDS: Final = 300
"""How long nobody has wanted a session before the last pods go."""
_FULL: Final = 0.8
"""Share of the sessions that fit, at which further pods are asked for: new ones need time to start."""
_UNKNOWN_SESSIONS: Final = 20
"""Sessions per pod of a guest whose size only its pods know; CPU use usually asks for pods earlier."""
_PAUSED: Final = "autoscaling.keda.sh/paused"
_EXCLUDED_LABELS: Final = "scaledobject.keda.sh/hpa-excluded-labels"


def build_scaled_object(
    plane: Plane, autoscaling: SandboxAutoscaling, sessions: int | None, *, suspended: bool
) -> Manifest:
    """`sessions`: how many a pod has room for, None when only the pods know."""
    # The HorizontalPodAutoscaler that KEDA makes takes over our labels; it is not the operator's.
    annotations = {_EXCLUDED_LABELS: MANAGED_BY_LABEL, **({_PAUSED: "true"} if suspended else {})}
    idle = {"idleReplicaCount": 0} if autoscaling.scale_to_zero else {}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {**build_metadata(plane), "annotations": annotations},
        "spec": {
            "scaleTargetRef": build_target(plane),
            **idle,
            "minReplicaCount": autoscaling.min_replicas,
            "maxReplicaCount": autoscaling.max_replicas,
            "pollingInterval": _POLL_SECONDS,
            "cooldownPeriod": _COOLDOWN_SECONDS,
            # A new pool has no last use yet, and would go before its first question.
            "initialCooldownPeriod": _COOLDOWN_SECONDS,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": build_behavior(autoscaling.behavior)}},
            "triggers": [_cpu(autoscaling), *(_demand(plane, state, _target(sessions)) for state in DEMAND_STATES)],
        },
    }


def _cpu(autoscaling: SandboxAutoscaling) -> Manifest:
    target = str(autoscaling.target_cpu_utilization)
    return {"type": "cpu", "name": "cpu", "metricType": "Utilization", "metadata": {"value": target}}


def _demand(plane: Plane, state: str, target: int) -> Manifest:
    """The sum over all inference pods, read from each of them; above 0 the pool is awake."""
    return {
        "type": "metrics-api",
        "name": f"sessions-{state}",
        "metricType": "AverageValue",
        "metadata": {
            "url": demand_url(plane),
            "format": "prometheus",
            "valueLocation": demand_location(state),
            "aggregateFromKubeServiceEndpoints": "true",
            "aggregationType": "sum",
            "targetValue": str(target),
            "activationTargetValue": "0",
        },
    }


def _target(sessions: int | None) -> int:
    return _UNKNOWN_SESSIONS if sessions is None else max(1, int(sessions * _FULL))
