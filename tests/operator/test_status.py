"""Status: what was observed becomes conditions, counts and addresses, and says what to do."""

from __future__ import annotations

import dataclasses

import pytest

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.errors import RefusedError
from rlm_operator.kinds import Ref
from rlm_operator.live import observe
from rlm_operator.render import render
from rlm_operator.resource import Manifest, Resource
from rlm_operator.secret_needs import SecretProblem
from rlm_operator.status import Observation, Refusal, assess, assess_invalid, build_status, refusal_of
from tests.operator.objects import custom_resource, deployment, rolled_out, stored
from tests.operator.specs import INPUTS, build_pool, build_stack, one

NOW = "2030-01-01T00:00:00Z"
READY_POOL = custom_resource("SandboxPool", "demo", status={"conditions": [{"type": "Ready", "status": "True"}]})
POLICY = observe(stored(one(render(build_stack(), INPUTS), "NetworkPolicy")))
WELL = Observation(
    deployment=deployment(2, rolled_out(2)),
    autoscaler=None,
    secret_problems=[],
    refusals=[],
    pool=READY_POOL,
    policy=POLICY,
    inputs=INPUTS,
)
SCALED = {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}


def condition(resource: Resource, observation: Observation, kind: ConditionType) -> Condition:
    [found] = [condition for condition in assess(resource, observation) if condition.type is kind]
    return found


def ready(resource: Resource, **changes: object) -> Condition:
    return condition(resource, dataclasses.replace(WELL, **changes), ConditionType.READY)  # type: ignore[arg-type]  # by name


def test_a_stack_with_everything_in_place_is_ready_at_its_address() -> None:
    found = ready(build_stack())
    assert (found.holds, found.reason) == (True, Reason.READY)
    assert "http://demo.team.svc" in found.message


def test_a_pool_with_everything_in_place_is_ready() -> None:
    assert ready(build_pool(), pool=None).holds


def test_every_resource_has_each_condition_once() -> None:
    for resource in (build_stack(inference=SCALED), build_pool()):
        kinds = [found.type for found in assess(resource, WELL)]
        assert len(set(kinds)) == len(kinds)
        assert kinds[0] is ConditionType.READY


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        (
            {"refusals": [Refusal(Ref("Service", "team", "demo"), Reason.CHILD_REFUSED, "no more services")]},
            Reason.CHILD_REFUSED,
            "Service/demo: no more services",
        ),
        (
            {"secret_problems": [SecretProblem(Reason.SECRET_MISSING, 'Secret "llm" does not exist')]},
            Reason.SECRET_MISSING,
            'Secret "llm" does not exist',
        ),
        (
            {"bundles": [(Reason.CONFIG_MAP_MISSING, 'ConfigMap "corp-ca" does not exist')]},
            Reason.CONFIG_MAP_MISSING,
            'ConfigMap "corp-ca" does not exist',
        ),
        ({"pool": None}, Reason.POOL_MISSING, "the operator is about to make it"),
        ({"pool": custom_resource("SandboxPool", "demo")}, Reason.POOL_NOT_READY, "no status yet"),
        ({"deployment": None}, Reason.PODS_UNAVAILABLE, "does not exist yet"),
        ({"deployment": deployment(0, rolled_out(0))}, Reason.SCALED_TO_ZERO, "raise replicas"),
        ({"deployment": deployment(3, rolled_out(3, 1))}, Reason.PODS_UNAVAILABLE, "1 of 3 pods are available"),
    ],
    ids=[
        "refused child",
        "missing Secret",
        "missing ConfigMap",
        "no pool",
        "silent pool",
        "no Deployment",
        "no pods wanted",
        "few pods",
    ],
)
def test_the_gravest_trouble_is_the_reason_of_not_being_ready(
    changes: dict[str, object], reason: Reason, words: str
) -> None:
    found = ready(build_stack(), **changes)
    assert (found.holds, found.reason) == (False, reason)
    assert words in found.message


def test_a_missing_pool_that_was_referred_to_is_the_users_to_make() -> None:
    found = ready(build_stack(sandboxPoolRef={"name": "shared"}), pool=None)
    assert 'SandboxPool "shared" does not exist in namespace "team": create it' in found.message


def test_the_words_of_a_pool_that_is_not_ready_are_passed_on() -> None:
    status = {"conditions": [{"type": "Ready", "status": "False", "message": "no pods"}]}
    found = ready(build_stack(), pool=custom_resource("SandboxPool", "demo", status=status))
    assert 'SandboxPool "demo" is not ready: no pods' in found.message


def test_a_stuck_rollout_speaks_for_the_pods_that_are_missing() -> None:
    status = rolled_out(2, 0)
    status["conditions"].append({"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "Too slow."})
    found = ready(build_stack(), deployment=deployment(2, status))
    assert (found.reason, found.message.startswith("Too slow.")) == (Reason.ROLLOUT_STUCK, True)


def test_the_words_of_pods_that_are_refused_are_passed_on() -> None:
    status = rolled_out(2, 0)
    status["conditions"].append({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: cpu"})
    assert "exceeded quota: cpu" in ready(build_stack(), deployment=deployment(2, status)).message


def test_pods_of_an_old_revision_are_progress_and_still_serve() -> None:
    status = {**rolled_out(2), "updatedReplicas": 1}
    observation = dataclasses.replace(WELL, deployment=deployment(2, status))
    progressing = condition(build_stack(), observation, ConditionType.PROGRESSING)
    assert (progressing.holds, progressing.reason) == (True, Reason.ROLLING_OUT)
    assert condition(build_stack(), observation, ConditionType.READY).holds


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ([], Reason.AUTOSCALER_WAITING),
        ([{"type": "ScalingActive", "status": "True"}], Reason.AUTOSCALER_ACTIVE),
        ([{"type": "ScalingActive", "status": "False", "message": "no metrics"}], Reason.AUTOSCALER_INACTIVE),
    ],
    ids=["not reported", "active", "without metrics"],
)
def test_the_autoscaler_speaks_without_deciding_readiness(conditions: list[Manifest], reason: Reason) -> None:
    scaler: Manifest = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "demo-rlm", "namespace": "team"}}
    observation = dataclasses.replace(WELL, autoscaler=observe(stored(scaler, status={"conditions": conditions})))
    resource = build_stack(inference=SCALED)
    assert condition(resource, observation, ConditionType.SCALING_ACTIVE).reason is reason
    assert condition(resource, observation, ConditionType.READY).holds


def test_without_autoscaling_nothing_is_said_of_it() -> None:
    assert ConditionType.SCALING_ACTIVE not in {found.type for found in assess(build_stack(), WELL)}


@pytest.mark.parametrize(
    ("spec", "holds", "words"),
    [
        ({}, True, "api.openai.com"),
        ({"model": {"name": "m", "baseURL": "http://vllm/v1"}}, True, "the addresses of the spec only"),
        ({"networkPolicy": {"management": "Unmanaged"}}, False, "a policy of your own"),
    ],
    ids=["a public name", "a Service", "unmanaged"],
)
def test_how_far_inference_pods_can_reach_is_told(spec: Manifest, holds: bool, words: str) -> None:
    found = condition(build_stack(**spec), WELL, ConditionType.NETWORK_ISOLATED)
    assert found.holds is holds
    assert words in found.message


def test_a_spec_that_can_not_be_read_is_told() -> None:
    assert {found.reason for found in assess_invalid("spec.image: unknown")} == {Reason.INVALID_SPEC}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('services "demo" is forbidden: exceeded quota: small', Reason.QUOTA_EXCEEDED),
        ("admission webhook denied the request", Reason.CHILD_REFUSED),
    ],
)
def test_a_refusal_keeps_the_api_servers_words(message: str, reason: Reason) -> None:
    refusal = refusal_of(Ref("Service", "team", "demo"), RefusedError(message, status=403))
    assert (refusal.reason, refusal.message) == (reason, message)


def test_a_status_counts_and_names_and_selects() -> None:
    stack = build_stack(inference={"service": {"port": 8080}})
    observation = dataclasses.replace(WELL, deployment=deployment(3, rolled_out(3, 2)))
    status = build_status(stack, observation, assess(stack, observation), {}, NOW)
    assert (status["desiredReplicas"], status["replicas"], status["availableReplicas"]) == (3, 3, 2)
    assert (status["url"], status["sandboxPool"]) == ("http://demo.team.svc:8080", "demo")
    assert "app.kubernetes.io/instance=demo" in status["selector"].split(",")
    assert status["observedGeneration"] == 1
