"""Conditions of a custom resource: a closed list of types and reasons, and when a transition time changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from rlm_operator.resource import Manifest

_LONGEST_MESSAGE: Final = 2048


class ConditionType(StrEnum):
    READY = "Ready"  # everything below, in one word
    AVAILABLE = "Available"  # enough pods answer
    PROGRESSING = "Progressing"  # pods are being replaced
    DEGRADED = "Degraded"  # something that was asked for could not be done
    SECRETS_READY = "SecretsReady"  # every Secret that pods mount is there
    CERTIFICATES_READY = "CertificatesReady"  # of a resource with TLS: its certificate is there and valid
    SANDBOX_POOL_READY = "SandboxPoolReady"  # of a stack: its pool is ready
    SCALING_ACTIVE = "ScalingActive"  # of a resource with autoscaling: the autoscaler does all that was asked for
    SUSPENDED = "Suspended"  # `suspend` is set: no pods are wanted; absent otherwise
    PAUSED = "Paused"  # `paused` is set: the operator leaves everything as it is; absent otherwise
    ISOLATION_VERIFIED = "IsolationVerified"  # of a pool: traffic showed that the network enforces its policy
    NETWORK_ISOLATED = "NetworkIsolated"  # a policy restricts the pods
    MONITORING_READY = "MonitoringReady"  # of a resource that insists on monitoring: the cluster has the kinds for it


class Reason(StrEnum):
    READY = "Ready"
    AS_EXPECTED = "AsExpected"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    QUOTA_EXCEEDED = "QuotaExceeded"
    CHILD_REFUSED = "ChildRefused"
    SECRETS_FOUND = "SecretsFound"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a word about Secrets
    SECRET_NOT_ALLOWED = "SecretNotAllowed"  # noqa: S105 - a word about Secrets
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105 - a word about Secrets
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    CONFIG_MAP_KEY_MISSING = "ConfigMapKeyMissing"
    CERTIFICATE_ISSUED = "CertificateIssued"
    CERTIFICATE_PENDING = "CertificatePending"
    CERTIFICATE_EXPIRED = "CertificateExpired"
    CERT_MANAGER_MISSING = "CertManagerMissing"
    ISSUER_OUT_OF_REACH = "IssuerOutOfReach"
    POOL_READY = "PoolReady"
    POOL_MISSING = "PoolMissing"
    POOL_NOT_READY = "PoolNotReady"
    POOL_NOT_ALLOWED = "PoolNotAllowed"
    POOL_NAMESPACE_NOT_SERVED = "PoolNamespaceNotServed"
    PODS_AVAILABLE = "PodsAvailable"
    PODS_UNAVAILABLE = "PodsUnavailable"
    SCALED_TO_ZERO = "ScaledToZero"
    ASLEEP = "Asleep"
    SUSPENDED = "Suspended"
    PAUSED = "Paused"
    ROLLED_OUT = "RolledOut"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_STUCK = "RolloutStuck"
    API_MISSING = "ApiMissing"
    PODS_REFUSED = "PodsRefused"  # by admission; by a quota: QuotaExceeded
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_REFUSED = "ContainerRefused"
    CRASH_LOOPING = "CrashLooping"
    OUT_OF_MEMORY = "OutOfMemory"
    EVICTED = "Evicted"
    UNSCHEDULABLE = "Unschedulable"
    NOT_ANSWERING = "NotAnswering"
    AUTOSCALER_ACTIVE = "AutoscalerActive"
    AUTOSCALER_WAITING = "AutoscalerWaiting"
    AUTOSCALER_INACTIVE = "AutoscalerInactive"
    CUSTOM_METRICS_MISSING = "CustomMetricsMissing"
    KEDA_MISSING = "KEDAMissing"
    SCALE_TO_ZERO_REFUSED = "ScaleToZeroRefused"
    POLICY_APPLIED = "PolicyApplied"
    POLICY_UNMANAGED = "PolicyUnmanaged"
    POLICY_MISSING = "PolicyMissing"
    EGRESS_REFUSED = "EgressRefused"
    MONITORING_APPLIED = "MonitoringApplied"
    MONITORING_NOT_SERVED = "MonitoringNotServed"
    ISOLATION_VERIFIED = "IsolationVerified"
    ISOLATION_PENDING = "IsolationPending"
    ISOLATION_PROBE_FAILED = "IsolationProbeFailed"
    NETWORK_POLICY_NOT_ENFORCED = "NetworkPolicyNotEnforced"


_STARTING: Final = (
    Reason.PODS_UNAVAILABLE,
    Reason.POOL_NOT_READY,
    Reason.CERTIFICATE_PENDING,
    Reason.AUTOSCALER_WAITING,
    Reason.POLICY_MISSING,
    Reason.ISOLATION_PENDING,
)
"""Reasons that every new resource passes through."""


@dataclass(frozen=True)
class Condition:
    """What holds (`holds`) or not, why in one word, and in words that say what to do."""

    type: ConditionType
    holds: bool
    reason: Reason
    message: str

    @property
    def is_good(self) -> bool:
        """Degraded is the one that should not hold; Progressing says nothing about health unless it is stuck."""
        if self.type is ConditionType.DEGRADED:
            return not self.holds
        if self.type is ConditionType.PROGRESSING:
            return self.reason is not Reason.ROLLOUT_STUCK
        return self.holds


def build_conditions(
    conditions: Iterable[Condition], previous: Iterable[Mapping[str, Any]], generation: int, now: str
) -> list[Manifest]:
    """As Kubernetes writes them. `now` (RFC 3339) is the transition time of those whose status changed."""
    known = {condition["type"]: condition for condition in previous}
    built: list[Manifest] = []
    for condition in conditions:
        status = "True" if condition.holds else "False"
        before = known.get(str(condition.type), {})
        since = before["lastTransitionTime"] if before.get("status") == status else now
        built.append(
            {
                "type": str(condition.type),
                "status": status,
                "reason": str(condition.reason),
                "message": condition.message[:_LONGEST_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return built


def is_same_status(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two statuses say the same; the API server keeps conditions as a set, so their order is not ours."""

    def comparable(status: Mapping[str, Any]) -> Manifest:
        return {**status, "conditions": {condition["type"]: condition for condition in status.get("conditions") or ()}}

    return comparable(one) == comparable(other)


def find_transitions(conditions: Iterable[Condition], previous: Iterable[Mapping[str, Any]]) -> list[Condition]:
    """Conditions worth an Event: those that turned bad, or bad for another reason, and those that became good again.

    Ready repeats the trouble of another condition, which has its own Event; what every start passes through has none.
    """
    known = {condition["type"]: (condition["status"], condition["reason"]) for condition in previous}
    changed: list[Condition] = []
    for condition in conditions:
        now = ("True" if condition.holds else "False", str(condition.reason))
        before = known.get(str(condition.type))
        if before == now or (before is None and condition.reason in _STARTING):
            continue
        if condition.is_good:
            told = before is not None and before[0] != now[0] and condition.type is not ConditionType.PROGRESSING
        else:
            told = condition.type is not ConditionType.READY
        if told:
            changed.append(condition)
    return changed
