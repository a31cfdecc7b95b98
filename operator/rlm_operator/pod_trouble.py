"""What keeps the pods of a Deployment from serving, in the cluster's own words and with what to do. Pure.

A Deployment's status only counts. Why a pod does not run is in the status of the pod itself: what the scheduler, the
kubelet or the eviction wrote there. `reconcile.py` lists a few pods when a rollout takes longer than it should.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rlm_operator.conditions import Reason

_LONGEST_WORDS: Final = 600
"""Of one pod: a log's last lines may be longer."""
_IMAGE_REASONS: Final = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CREATE_REASONS: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "CreatePodSandboxError", "RunContainerError"}
)
_ADVICE: Final[Mapping[Reason, str]] = {
    Reason.IMAGE_PULL_FAILED: "check the image's name, and podTemplate.imagePullSecrets for a registry with a login",
    Reason.CONTAINER_REFUSED: "the node can not make the container as it is written: the words before say what lacks",
    Reason.CRASH_LOOPING: "kubectl logs --previous tells more",
    Reason.OUT_OF_MEMORY: "raise resources.limits.memory, or lower what runs at once",
    Reason.EVICTED: "the node ran short or refused the pod: raise resources.requests, or add nodes",
    Reason.UNSCHEDULABLE: "add nodes, lower resources.requests, or loosen podTemplate and scheduling",
    Reason.NOT_ANSWERING: "the process runs and its readiness probe fails: kubectl logs tells why",
}
_GRAVEST_FIRST: Final = tuple(_ADVICE)


@dataclass(frozen=True)
class PodTrouble:
    """`message` names one of `count` pods that share the reason."""

    reason: Reason
    message: str

    @property
    def heals_alone(self) -> bool:
        """A node may come, or a process may begin to answer, without anybody's doing."""
        return self.reason in (Reason.UNSCHEDULABLE, Reason.EVICTED, Reason.NOT_ANSWERING)


@dataclass(frozen=True)
class _Finding:
    reason: Reason
    words: str


def find_trouble(pods: Sequence[Mapping[str, Any]]) -> PodTrouble | None:
    """The gravest trouble among the pods; None when none of them says anything is wrong."""
    findings = {pod["metadata"]["name"]: finding for pod in pods if (finding := _examine(pod)) is not None}
    if not findings:
        return None
    counts = Counter(finding.reason for finding in findings.values())
    gravest = min(counts, key=_GRAVEST_FIRST.index)
    name = min(name for name, finding in findings.items() if finding.reason is gravest)
    others = f" (and {counts[gravest] - 1} more)" if counts[gravest] > 1 else ""
    words = findings[name].words.rstrip(". ")
    return PodTrouble(gravest, f"pod {name}{others}: {words}: {_ADVICE[gravest]}.")


def _examine(pod: Mapping[str, Any]) -> _Finding | None:
    """What is wrong with one pod; one that is on its way out, or ready, is well."""
    status = pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    if "deletionTimestamp" in pod["metadata"]:
        return None
    if status.get("phase") == "Failed":
        return _Finding(Reason.EVICTED, _join(status.get("reason") or "Failed", status.get("message")))
    if _holds(conditions.get("Ready")):
        return None
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return _Finding(Reason.UNSCHEDULABLE, _join(scheduled.get("reason"), scheduled.get("message")))
    return next(_container_findings(status.get("containerStatuses") or ()), None) or _readiness(conditions, status)


def _container_findings(containers: Iterable[Mapping[str, Any]]) -> Iterator[_Finding]:
    for container in containers:
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason", "")
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
        if reason in _IMAGE_REASONS:
            yield _Finding(Reason.IMAGE_PULL_FAILED, _join(reason, waiting.get("message")))
        elif reason in _CREATE_REASONS:
            yield _Finding(Reason.CONTAINER_REFUSED, _join(reason, waiting.get("message")))
        elif ended:
            yield _ended(ended, container.get("restartCount", 0))


def _ended(ended: Mapping[str, Any], restarts: int) -> _Finding:
    """How a container ended; with FallbackToLogsOnError the message holds the last lines of its log."""
    times = f", {restarts} restarts" if restarts else ""
    how = f"{ended.get('reason') or 'Ended'} with exit code {ended.get('exitCode')}{times}"
    reason = Reason.OUT_OF_MEMORY if ended.get("reason") == "OOMKilled" else Reason.CRASH_LOOPING
    return _Finding(reason, _join(how, ended.get("message")))


def _readiness(conditions: Mapping[str, Mapping[str, Any]], status: Mapping[str, Any]) -> _Finding | None:
    """A process that runs and does not answer; one that is being started says nothing yet."""
    ready = conditions.get("Ready", {})
    running = any("running" in (container.get("state") or {}) for container in status.get("containerStatuses") or ())
    if not running or ready.get("status") != "False":
        return None
    return _Finding(Reason.NOT_ANSWERING, _join(ready.get("reason"), ready.get("message")))


def _holds(condition: Mapping[str, Any] | None) -> bool:
    return condition is not None and condition.get("status") == "True"


def _join(what: str | None, words: str | None) -> str:
    text = ": ".join(part.strip() for part in (what, words) if part and part.strip())
    return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}…"
