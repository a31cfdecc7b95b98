"""Deployment of a plane: the pod of `pod.py`, how many, and how they are replaced."""

from __future__ import annotations

from rlm_operator.inputs import LiveScale
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.workload import Workload


def build_deployment(plane: Plane, template: Manifest, replicas: int | None) -> Manifest:
    """`replicas` None leaves the field to whoever decides it."""
    scale = {} if replicas is None else {"replicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": build_metadata(plane),
        "spec": {
            **scale,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": plane.selector},
            # A new pod must be ready before an old one goes.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": template,
        },
    }


def replicas_to_apply(
    workload: Workload, live: LiveScale | None, *, suspended: bool = False, may_sleep: bool = False
) -> int | None:
    """The replica count to write, or None to leave it alone.

    With an autoscaler the operator writes the start value once, then repeats the live count until somebody else decides
    it. Dropping the field earlier would reset it to 1, because a field that nobody owns goes back to its default. An
    autoscaler does not touch a Deployment at 0, so the operator takes it from there to the least number, unless the
    autoscaler itself put it there (`may_sleep`).
    """
    if suspended:
        return 0
    if workload.autoscaling is None or live is None:
        return workload.start
    if live.replicas == 0 and not (may_sleep and live.decided_elsewhere):
        return workload.floor
    return None if live.decided_elsewhere else live.replicas
