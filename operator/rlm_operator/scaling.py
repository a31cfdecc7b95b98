"""ScalingActive: whether the autoscaler does all that the spec asks for, and what to do where it does not. Pure.

`status.py` calls it for a resource with autoscaling. What cannot be had is left out of the autoscaler, which goes on
with the rest, so the condition never decides readiness.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.kinds import CUSTOM_METRICS
from rlm_operator.live import Live
from rlm_operator.objects.autoscaler import QUEUE_METRIC, can_sleep, queue_target, uses_keda
from rlm_operator.spec.autoscaling import Autoscaling

_KIND: Final = ConditionType.SCALING_ACTIVE


def idle_condition(autoscaling: Autoscaling | None, served: frozenset[str], *, suspended: bool) -> Condition | None:
    """What Available says of a resource without pods where that is meant; None where they are missed."""
    if suspended:
        words = "No pods are wanted while suspend is true: set it to false to serve requests."
        return Condition(ConditionType.AVAILABLE, False, Reason.SUSPENDED, words)
    if can_sleep(autoscaling, served):
        words = "Nobody wants a session, so there are no pods: the next run wakes the pool and waits for it."
        return Condition(ConditionType.AVAILABLE, True, Reason.ASLEEP, words)
    return None


def scaling_condition(
    autoscaling: Autoscaling, served: frozenset[str], autoscaler: Live | None, *, suspended: bool
) -> Condition:
    """`autoscaler`: the HorizontalPodAutoscaler or the ScaledObject, whichever scales."""
    if suspended:
        return Condition(_KIND, False, Reason.SUSPENDED, "The autoscaler rests while suspend is true.")
    reports = (autoscaler.status.get("conditions") or ()) if autoscaler else ()
    if uses_keda(autoscaling, served):
        return _of_keda(reports)
    active = _of_autoscaler(reports)
    missing = _missing(autoscaling, served)
    if missing is None:
        return active
    if active.reason is Reason.AUTOSCALER_INACTIVE:
        return Condition(_KIND, False, active.reason, f"{active.message} Besides, {missing.message}")
    return missing


def _missing(autoscaling: Autoscaling, served: frozenset[str]) -> Condition | None:
    """What the spec asks for and the cluster has no means for."""
    if autoscaling.wants_keda:
        words = (
            "KEDA is not installed (no keda.sh/v1alpha1), so a HorizontalPodAutoscaler scales by CPU use: install KEDA "
            "2.20 or newer, or set autoscaling.provider to HPA"
        )
        if autoscaling.may_sleep:
            least = autoscaling.min_replicas
            words = f"scaleToZero is refused and {least} stay, because nothing could wake the pool: {words}"
            return Condition(_KIND, False, Reason.SCALE_TO_ZERO_REFUSED, words)
        return Condition(_KIND, False, Reason.KEDA_MISSING, words)
    if queue_target(autoscaling) is not None and CUSTOM_METRICS not in served:
        words = (
            f"the autoscaler goes by CPU use alone: the cluster serves no metrics of pods ({CUSTOM_METRICS}), so "
            f"targetQueueLength has no effect. Install an adapter that serves {QUEUE_METRIC}, such as "
            "prometheus-adapter, or remove targetQueueLength"
        )
        return Condition(_KIND, False, Reason.CUSTOM_METRICS_MISSING, words)
    return None


def _of_autoscaler(reports: Iterable[Mapping[str, Any]]) -> Condition:
    for report in reports:
        if report["type"] == "ScalingActive":
            if report["status"] == "True":
                return Condition(_KIND, True, Reason.AUTOSCALER_ACTIVE, "The autoscaler reads its metrics and scales.")
            words = f"The autoscaler can not scale ({report.get('reason', '')}): {report.get('message', '')}"
            hint = (
                f"is {QUEUE_METRIC} served by an adapter, such as prometheus-adapter?"
                if report.get("reason") == "FailedGetPodsMetric"
                else "is metrics-server installed?"
            )
            return Condition(_KIND, False, Reason.AUTOSCALER_INACTIVE, f"{words}; {hint}")
    return Condition(_KIND, False, Reason.AUTOSCALER_WAITING, "The autoscaler has not reported yet: wait a moment.")


def _of_keda(reports: Iterable[Mapping[str, Any]]) -> Condition:
    for report in reports:
        if report["type"] == "Ready" and report["status"] != "Unknown":
            if report["status"] == "True":
                return Condition(_KIND, True, Reason.AUTOSCALER_ACTIVE, "KEDA reads its triggers and scales.")
            words = (
                f"KEDA can not scale ({report.get('reason', '')}): {report.get('message', '')}; it reads CPU use from "
                "metrics-server, and sessions from the inference pods of a stack that uses this pool"
            )
            return Condition(_KIND, False, Reason.AUTOSCALER_INACTIVE, words)
    return Condition(_KIND, False, Reason.AUTOSCALER_WAITING, "KEDA has not reported yet: is its operator running?")
