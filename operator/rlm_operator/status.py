"""The status of a stack or pool, from what was observed. Pure: no clock, no cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_operator.bundle_look import BundleProblem
from rlm_operator.capacity import build_capacity
from rlm_operator.checklist.assessment import Check
from rlm_operator.conditions import Condition, ConditionType, Reason, build_conditions
from rlm_operator.errors import ApiError
from rlm_operator.inputs import Inputs
from rlm_operator.isolation.planning import ProbeState, isolation_condition
from rlm_operator.kinds import Ref
from rlm_operator.live import Live
from rlm_operator.monitoring.children import monitoring_conditions
from rlm_operator.names import pool_url, stack_url
from rlm_operator.network_isolation import network_isolated
from rlm_operator.objects.owner import plane_of
from rlm_operator.pod_trouble import PodTrouble
from rlm_operator.pool_gate import pool_condition
from rlm_operator.resource import Manifest, Pool, Resource, Stack
from rlm_operator.rollout import Rollout, rollout_conditions, rollout_trouble
from rlm_operator.scaling import idle_condition, scaling_condition
from rlm_operator.secret_needs import SecretProblem
from rlm_operator.spec.stack import RLMStackSpec
from rlm_operator.unserved import find_unserved


@dataclass(frozen=True)
class Refusal:
    """A child that could not be written, and why, in the API server's words or ours."""

    ref: Ref
    reason: Reason
    message: str


@dataclass(frozen=True)
class Observation:
    """What the cluster shows after a reconcile. `pool` is None when a stack's pool does not exist. `policy`: the
    resource's own NetworkPolicy. `inputs`: what was rendered with. `served`: those of kinds.OPTIONAL_CHILD_KINDS that
    the API server has, and kinds.CUSTOM_METRICS. `namespaces`: those that the operator serves; empty: all. `isolation`:
    of a pool, the last verdict of its probe. `certificates`: None where TLS is disabled. `bundles`: what is wrong with
    ConfigMaps that a stack's pods mount."""

    deployment: Live | None
    autoscaler: Live | None
    secret_problems: Sequence[SecretProblem]
    refusals: Sequence[Refusal]
    pool: Mapping[str, Any] | None
    policy: Live | None
    inputs: Inputs
    served: frozenset[str] = frozenset()
    checklist: Sequence[Check] = ()
    namespaces: Sequence[str] = ()
    pods: PodTrouble | None = None
    isolation: ProbeState | None = None
    certificates: Condition | None = None
    bundles: Sequence[BundleProblem] = ()


def refusal_of(ref: Ref, error: ApiError) -> Refusal:
    """The condition's reason for an API server's refusal."""
    reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in error.message else Reason.CHILD_REFUSED
    return Refusal(ref, reason, error.message)


def assess(resource: Resource, observation: Observation) -> list[Condition]:
    """Every condition of the resource; Ready comes first and repeats the gravest trouble among the others."""
    rollout = Rollout.of(observation.deployment)
    spec = resource.spec
    workload = spec.inference if isinstance(spec, RLMStackSpec) else spec
    served = observation.served
    idle = idle_condition(workload.autoscaling, served, suspended=spec.suspend)
    available, progressing = rollout_conditions(rollout, observation.pods, idle)
    stuck = rollout_trouble(rollout, observation.pods)
    troubles = [*find_unserved(resource, served), *observation.bundles, *stuck]
    gates = [_degraded(observation.refusals, troubles), _secrets_ready(observation.secret_problems)]
    if observation.certificates is not None:
        gates.append(observation.certificates)
    further: list[Condition] = []
    if isinstance(resource, Stack):
        gates.append(pool_condition(resource, observation.pool, observation.namespaces))
    further.append(network_isolated(resource, observation.policy, observation.inputs))
    if isinstance(resource, Pool) and (isolation := isolation_condition(resource, observation.isolation)) is not None:
        further.append(isolation)
    if workload.autoscaling is not None:
        scaler = observation.autoscaler
        further.append(scaling_condition(workload.autoscaling, served, scaler, suspended=spec.suspend))
    if spec.suspend:
        further.append(_suspended(rollout))
    further += monitoring_conditions(spec.monitoring, served)
    # A rollout that is stuck explains why pods are missing, so it speaks first.
    gates += [progressing, available]
    trouble = next((gate for gate in gates if not gate.is_good), None)
    if spec.suspend:
        trouble = _suspended(rollout)
    ready = (
        Condition(ConditionType.READY, True, Reason.READY, _ready_message(resource))
        if trouble is None
        else Condition(ConditionType.READY, False, trouble.reason, trouble.message)
    )
    return [ready, *gates, *further]


def paused_condition() -> Condition:
    """The only condition that is written while `paused` is set."""
    words = "The operator leaves this resource and its children as they are: set paused to false to go on."
    return Condition(ConditionType.PAUSED, True, Reason.PAUSED, words)


def assess_invalid(message: str) -> list[Condition]:
    """The conditions of a resource whose spec can not be read."""
    words = f"{message}; correct the spec, or bring CRDs and operator to the same version"
    return [
        Condition(ConditionType.READY, False, Reason.INVALID_SPEC, words),
        Condition(ConditionType.DEGRADED, True, Reason.INVALID_SPEC, words),
    ]


def build_status(
    resource: Resource,
    observation: Observation,
    conditions: Sequence[Condition],
    previous: Mapping[str, Any],
    now: str,
) -> Manifest:
    """The whole status. `previous` gives transition times, `now` is RFC 3339."""
    identity = resource.identity
    rollout = Rollout.of(observation.deployment)
    selector = plane_of(identity).selector
    status: Manifest = {
        "observedGeneration": identity.generation,
        "desiredReplicas": rollout.desired,
        "replicas": rollout.replicas,
        "readyReplicas": rollout.ready,
        "availableReplicas": rollout.available,
        "updatedReplicas": rollout.updated,
        "selector": ",".join(f"{key}={value}" for key, value in selector.items()),
        "url": _url(resource),
    }
    if isinstance(resource, Stack):
        status["sandboxPool"] = resource.pool_name
    elif capacity := build_capacity(resource.spec, rollout.ready):
        # Left out when empty: an apply that empties an object it filled before leaves null, which the schema refuses.
        status["capacity"] = capacity
    status["checklist"] = [check.as_status() for check in observation.checklist]
    if observation.isolation is not None:
        status["isolation"] = observation.isolation.to_status()
    status["conditions"] = build_conditions(conditions, previous.get("conditions") or (), identity.generation, now)
    return status


def _suspended(rollout: Rollout) -> Condition:
    left = f"{rollout.replicas} pods are ending" if rollout.replicas else "no pods run"
    words = f"suspend is true: {left}, everything else stays. Set suspend to false to serve requests."
    return Condition(ConditionType.SUSPENDED, True, Reason.SUSPENDED, words)


def _degraded(refusals: Sequence[Refusal], further: Sequence[tuple[Reason, str]]) -> Condition:
    troubles = [*((refusal.reason, f"{refusal.ref}: {refusal.message}") for refusal in refusals), *further]
    if not troubles:
        return Condition(ConditionType.DEGRADED, False, Reason.AS_EXPECTED, "All children are as they should be.")
    words = "; ".join(message for _, message in troubles)
    return Condition(ConditionType.DEGRADED, True, troubles[0][0], words)


def _secrets_ready(problems: Sequence[SecretProblem]) -> Condition:
    if not problems:
        return Condition(ConditionType.SECRETS_READY, True, Reason.SECRETS_FOUND, "All Secrets that pods mount exist.")
    words = "; ".join(problem.message for problem in problems)
    return Condition(ConditionType.SECRETS_READY, False, problems[0].reason, words)


def _url(resource: Resource) -> str:
    identity = resource.identity
    match resource:
        case Stack():
            return stack_url(identity.name, identity.namespace, resource.spec.inference.service.port)
        case Pool():
            return pool_url(identity.name, identity.namespace, tls=resource.spec.tls.mode != "Disabled")


def _ready_message(resource: Resource) -> str:
    return f"Answers at {_url(resource)}."
