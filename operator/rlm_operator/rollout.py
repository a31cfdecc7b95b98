"""How far a Deployment and its autoscaler are, and the conditions that follow from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.live import Live


@dataclass(frozen=True)
class Rollout:
    """Counts of pods. `stuck` holds the Deployment's own words when it gave up, `failure` when pods are refused."""

    exists: bool
    desired: int = 0
    replicas: int = 0
    ready: int = 0
    available: int = 0
    updated: int = 0
    observed: bool = False
    has_minimum: bool = False
    stuck: str = ""
    failure: str = ""

    @classmethod
    def of(cls, deployment: Live | None) -> Self:
        if deployment is None or deployment.scale is None:
            return cls(exists=False)
        status = deployment.status
        conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
        progressing, failure = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
        return cls(
            exists=True,
            desired=deployment.scale.replicas,
            replicas=status.get("replicas", 0),
            ready=status.get("readyReplicas", 0),
            available=status.get("availableReplicas", 0),
            updated=status.get("updatedReplicas", 0),
            observed=status.get("observedGeneration", 0) >= deployment.generation,
            has_minimum=conditions.get("Available", {}).get("status") == "True",
            stuck=progressing.get("message", "") if progressing.get("reason") == "ProgressDeadlineExceeded" else "",
            failure=failure.get("message", "") if failure.get("status") == "True" else "",
        )

    @property
    def is_complete(self) -> bool:
        """All pods are of the newest revision, and no old one is left."""
        return self.observed and self.updated >= self.desired and self.replicas <= self.updated


def rollout_conditions(rollout: Rollout) -> tuple[Condition, Condition]:
    """Available and Progressing."""
    return _available(rollout), _progressing(rollout)


def autoscaler_condition(autoscaler: Live | None) -> Condition:
    """ScalingActive, from the HorizontalPodAutoscaler's condition of that name."""
    kind = ConditionType.SCALING_ACTIVE
    conditions = (autoscaler.status.get("conditions") or ()) if autoscaler else ()
    for condition in conditions:
        if condition["type"] == "ScalingActive":
            if condition["status"] == "True":
                return Condition(kind, True, Reason.AUTOSCALER_ACTIVE, "The autoscaler reads CPU use and can scale.")
            words = f"The autoscaler can not scale ({condition.get('reason', '')}): {condition.get('message', '')}"
            return Condition(kind, False, Reason.AUTOSCALER_INACTIVE, f"{words}; is metrics-server installed?")
    return Condition(kind, False, Reason.AUTOSCALER_WAITING, "The autoscaler has not reported yet: wait a moment.")


def _available(rollout: Rollout) -> Condition:
    kind = ConditionType.AVAILABLE
    if not rollout.exists:
        return Condition(kind, False, Reason.PODS_UNAVAILABLE, "The Deployment does not exist yet.")
    if rollout.desired == 0:
        words = "No pods are asked for: raise replicas to serve requests."
        return Condition(kind, False, Reason.SCALED_TO_ZERO, words)
    counts = f"{rollout.available} of {rollout.desired} pods are available"
    if rollout.has_minimum and rollout.available > 0:
        return Condition(kind, True, Reason.PODS_AVAILABLE, f"{counts}.")
    trouble = f": {rollout.failure}" if rollout.failure else "; kubectl describe pods tells what the others wait for."
    return Condition(kind, False, Reason.PODS_UNAVAILABLE, counts + trouble)


def _progressing(rollout: Rollout) -> Condition:
    kind = ConditionType.PROGRESSING
    if rollout.stuck:
        words = f"{rollout.stuck} Look at the newest pods with kubectl describe pods."
        return Condition(kind, False, Reason.ROLLOUT_STUCK, words)
    if rollout.exists and rollout.is_complete:
        return Condition(kind, False, Reason.ROLLED_OUT, "All pods are of the newest revision.")
    words = f"{rollout.updated} of {rollout.desired} pods are of the newest revision."
    return Condition(kind, True, Reason.ROLLING_OUT, words)
