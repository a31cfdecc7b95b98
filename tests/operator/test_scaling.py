"""What the status says of scaling: whether all that was asked for is done, and what no pods mean."""

from __future__ import annotations

import dataclasses

import pytest

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.kinds import CUSTOM_METRICS
from rlm_operator.live import Live, observe
from rlm_operator.resource import Manifest, Resource
from rlm_operator.scaling import scaling_condition
from rlm_operator.status import Observation, assess, build_status, paused_condition
from tests.operator.objects import deployment, rolled_out, stored
from tests.operator.specs import INPUTS, build_pool, build_stack

ACTIVE = {"type": "ScalingActive", "status": "True"}
READY = {"type": "Ready", "status": "True"}
QUEUED = {"maxReplicas": 9, "targetQueueLength": 10}
KEDA = {"maxReplicas": 9, "provider": "KEDA"}
SLEEPY = {**KEDA, "scaleToZero": True}


def scaler(*reports: Manifest) -> Live:
    manifest: Manifest = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "p-wasm", "namespace": "team"}}
    return observe(stored(manifest, status={"conditions": list(reports)}))


def judge(autoscaling: Manifest, served: set[str], *reports: Manifest, suspended: bool = False) -> Condition:
    spec = build_pool(autoscaling=autoscaling).spec
    assert spec.autoscaling is not None
    return scaling_condition(spec.autoscaling, frozenset(served), scaler(*reports), suspended=suspended)


@pytest.mark.parametrize(
    ("autoscaling", "served", "reason", "words"),
    [
        ({"maxReplicas": 9}, set(), Reason.AUTOSCALER_ACTIVE, "reads its metrics"),
        (QUEUED, {CUSTOM_METRICS}, Reason.AUTOSCALER_ACTIVE, "reads its metrics"),
        (QUEUED, set(), Reason.CUSTOM_METRICS_MISSING, "CPU use alone: the cluster serves no metrics of pods"),
        (KEDA, set(), Reason.KEDA_MISSING, "a HorizontalPodAutoscaler scales by CPU use: install KEDA"),
        (SLEEPY, set(), Reason.SCALE_TO_ZERO_REFUSED, "scaleToZero is refused and 1 stay"),
    ],
    ids=["CPU", "queue", "queue without metrics", "KEDA missing", "KEDA missing for scale to zero"],
)
def test_what_was_asked_for_and_cannot_be_had_is_told(
    autoscaling: Manifest, served: set[str], reason: Reason, words: str
) -> None:
    found = judge(autoscaling, served, ACTIVE)
    assert (found.reason, found.holds) == (reason, reason is Reason.AUTOSCALER_ACTIVE)
    assert words in found.message


def test_an_autoscaler_that_does_not_work_is_told_before_what_is_missing() -> None:
    broken = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}
    found = judge(SLEEPY, set(), broken)
    assert found.reason is Reason.AUTOSCALER_INACTIVE
    assert "no metrics; is metrics-server installed? Besides, scaleToZero is refused" in found.message


def test_a_queue_metric_that_the_adapter_lacks_is_told_by_name() -> None:
    broken = {"type": "ScalingActive", "status": "False", "reason": "FailedGetPodsMetric", "message": "not found"}
    assert "is wasm_execution_queue_length served by an adapter" in judge(QUEUED, {CUSTOM_METRICS}, broken).message


@pytest.mark.parametrize(
    ("reports", "reason", "words"),
    [
        ([READY], Reason.AUTOSCALER_ACTIVE, "KEDA reads its triggers"),
        ([], Reason.AUTOSCALER_WAITING, "is its operator running?"),
        ([{"type": "Ready", "status": "Unknown"}], Reason.AUTOSCALER_WAITING, "is its operator running?"),
        (
            [{"type": "Ready", "status": "False", "reason": "TriggerError", "message": "no endpoints"}],
            Reason.AUTOSCALER_INACTIVE,
            "KEDA can not scale (TriggerError): no endpoints",
        ),
    ],
    ids=["ready", "silent", "unknown", "an error"],
)
def test_keda_speaks_for_itself_where_it_scales(reports: list[Manifest], reason: Reason, words: str) -> None:
    found = judge(SLEEPY, {"ScaledObject"}, *reports)
    assert found.reason is reason
    assert words in found.message


def test_the_autoscaler_of_a_suspended_pool_rests() -> None:
    assert judge(SLEEPY, {"ScaledObject"}, READY, suspended=True).reason is Reason.SUSPENDED


def observation(replicas: int, *served: str, left: int = 0) -> Observation:
    status = {**rolled_out(replicas), "replicas": left or replicas}
    return Observation(
        deployment=deployment(replicas, status),
        autoscaler=None,
        secret_problems=[],
        refusals=[],
        pool=None,
        policy=None,
        inputs=INPUTS,
        served=frozenset(served),
    )


def conditions(resource: Resource, seen: Observation) -> dict[str, Condition]:
    return {str(found.type): found for found in assess(resource, seen)}


def test_a_pool_asleep_is_ready_because_the_next_run_wakes_it() -> None:
    found = conditions(build_pool(autoscaling=SLEEPY), observation(0, "ScaledObject"))
    assert (found["Available"].holds, found["Available"].reason) == (True, Reason.ASLEEP)
    assert found["Ready"].holds


def test_a_pool_at_zero_that_nothing_wakes_is_not_ready() -> None:
    found = conditions(build_pool(autoscaling=SLEEPY), observation(0))
    assert (found["Ready"].holds, found["Ready"].reason) == (False, Reason.SCALED_TO_ZERO)


@pytest.mark.parametrize(("left", "words"), [(2, "2 pods are ending"), (0, "no pods run")])
def test_a_suspended_resource_says_so_and_is_not_ready(left: int, words: str) -> None:
    for resource in (build_pool(suspend=True), build_stack(suspend=True)):
        found = conditions(resource, observation(0, left=left))
        assert found["Suspended"].holds
        assert words in found["Suspended"].message
        assert (found["Ready"].holds, found["Ready"].reason) == (False, Reason.SUSPENDED)
        assert found["Available"].reason is Reason.SUSPENDED


def test_nothing_is_said_of_suspension_or_pause_where_neither_is_asked_for() -> None:
    assert not {"Suspended", "Paused"} & conditions(build_pool(), observation(2)).keys()


def test_a_paused_resource_is_told_how_to_go_on() -> None:
    assert paused_condition().type is ConditionType.PAUSED
    assert "set paused to false" in paused_condition().message


def test_the_status_of_a_pool_has_its_capacity_and_that_of_a_stack_has_none() -> None:
    seen = dataclasses.replace(observation(2), checklist=[])
    status = build_status(build_pool(limits={"maxSessions": 10}), seen, [], {}, "")
    assert status["capacity"] == {"sessions": 20, "spares": 16}
    assert "capacity" not in build_status(build_stack(), seen, [], {}, "")
