"""How far a Deployment is, and the conditions that follow from it and from its pods. Pure."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any, Final, Self

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.live import Live
from rlm_operator.pod_trouble import PodTrouble

_POD_NAME: Final = re.compile(r'pods "([^"]+)-[a-z0-9]{5}"')
"""In the words of a refusal: a name made for the attempt, which would be another one each time."""


@dataclass(frozen=True)
class Rollout:
    """Counts of pods. `stuck` holds the Deployment's own words when it gave up, `failure` when pods are refused;
    `progressed` is when it last got on, by the API server's clock."""

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
    progressed: datetime.datetime | None = None

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
            failure=_POD_NAME.sub(r'pods "\1-..."', failure.get("message", ""))
            if failure.get("status") == "True"
            else "",
            progressed=_moment(progressing.get("lastUpdateTime")),
        )

    @property
    def is_complete(self) -> bool:
        """All pods are of the newest revision and serve, and no old one is left."""
        current = self.observed and self.updated >= self.desired and self.replicas <= self.updated
        return current and self.available >= self.desired


def rollout_conditions(
    rollout: Rollout, pods: PodTrouble | None, idle: Condition | None = None
) -> tuple[Condition, Condition]:
    """Available and Progressing. `idle`: what Available says when no pod is wanted, and that is meant."""
    return _available(rollout, pods, idle), _progressing(rollout, pods)


def rollout_trouble(rollout: Rollout, pods: PodTrouble | None) -> list[tuple[Reason, str]]:
    """What Degraded should say: pods that are refused, or that fail in a way that does not heal by waiting."""
    if rollout.failure:
        reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in rollout.failure else Reason.PODS_REFUSED
        return [(reason, f"pods can not be created: {rollout.failure}")]
    if pods is not None and (rollout.stuck or not pods.heals_alone):
        return [(pods.reason, pods.message)]
    return []


def _available(rollout: Rollout, pods: PodTrouble | None, idle: Condition | None) -> Condition:
    kind = ConditionType.AVAILABLE
    if not rollout.exists:
        return Condition(kind, False, Reason.PODS_UNAVAILABLE, "The Deployment does not exist yet.")
    if rollout.desired == 0 and idle is not None:
        return idle
    if rollout.desired == 0:
        words = "No pods are asked for: raise replicas to serve requests."
        return Condition(kind, False, Reason.SCALED_TO_ZERO, words)
    counts = f"{rollout.available} of {rollout.desired} pods are available"
    if rollout.has_minimum and rollout.available > 0:
        return Condition(kind, True, Reason.PODS_AVAILABLE, f"{counts}.")
    why = _why(rollout, pods) or "kubectl describe pods tells what the others wait for."
    return Condition(kind, False, Reason.PODS_UNAVAILABLE, f"{counts}: {why}")


def _progressing(rollout: Rollout, pods: PodTrouble | None) -> Condition:
    kind = ConditionType.PROGRESSING
    why = _why(rollout, pods)
    if rollout.stuck:
        words = f"{rollout.stuck} {why or 'Look at the newest pods with kubectl describe pods.'}"
        return Condition(kind, False, Reason.ROLLOUT_STUCK, words)
    if rollout.exists and rollout.is_complete:
        return Condition(kind, False, Reason.ROLLED_OUT, "All pods are of the newest revision.")
    counts = f"{rollout.updated} of {rollout.desired} pods are of the newest revision"
    return Condition(kind, True, Reason.ROLLING_OUT, f"{counts}: {why}" if why else f"{counts}.")


def _why(rollout: Rollout, pods: PodTrouble | None) -> str:
    return rollout.failure or (pods.message if pods else "")


def _steady(words: str) -> str:
    return _POD_NAME.sub(r'pods "\1-..."', words)


def _moment(text: Any) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None
