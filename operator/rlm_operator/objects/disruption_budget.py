"""PodDisruptionBudget of a plane: what a node drain must leave running."""

from __future__ import annotations

from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.workload import Workload


def build_disruption_budget(plane: Plane, workload: Workload) -> Manifest | None:
    """None when no pod is wanted: a budget over nothing blocks nothing and confuses."""
    if workload.floor == 0:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": build_metadata(plane),
        "spec": {**_bound(workload), "selector": {"matchLabels": plane.selector}},
    }


def _bound(workload: Workload) -> Manifest:
    """What the spec says; else two stay of three or more, and of fewer one may go, so that a drain always ends."""
    budget = workload.disruption_budget
    if budget is not None and budget.min_available is not None:
        return {"minAvailable": budget.min_available}
    if budget is not None and budget.max_unavailable is not None:
        return {"maxUnavailable": budget.max_unavailable}
    return {"minAvailable": 2} if workload.floor >= 3 else {"maxUnavailable": 1}
