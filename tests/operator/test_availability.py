"""How many pods there are and who decides it: HPA, KEDA, suspended, asleep; and what of it a file renders to."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from rlm_operator.inputs import Inputs, LiveScale
from rlm_operator.kinds import CUSTOM_METRICS
from rlm_operator.objects.autoscaler import QUEUE_METRIC
from rlm_operator.objects.demand import DEMAND_STATES, demand_location
from rlm_operator.render import render, render_all
from rlm_operator.resource import Manifest, Pool, Stack
from runtime.inference.metrics import Metrics as InferenceMetrics
from runtime.sandbox.metrics import SandboxMetrics
from tests.operator.specs import IMAGES, build_pool, build_stack, one

SLEEPY: Manifest = {"autoscaling": {"provider": "KEDA", "scaleToZero": True, "minReplicas": 2, "maxReplicas": 9}}
QUEUED: Manifest = {"autoscaling": {"maxReplicas": 9, "targetQueueLength": 10}}
KEDA = frozenset(["ScaledObject"])
AT_ZERO = LiveScale(replicas=0, decided_elsewhere=True)


def children(resource: Stack | Pool, *served: str, live: LiveScale | None = None) -> list[Manifest]:
    return render(resource, Inputs(images=IMAGES, served=frozenset(served), live=live))


def replicas(resource: Stack | Pool, *served: str, live: LiveScale | None = None) -> int | None:
    count: int | None = one(children(resource, *served, live=live), "Deployment")["spec"].get("replicas")
    return count


def kinds(found: list[Manifest]) -> set[str]:
    return {child["kind"] for child in found}


def metrics_of(found: list[Manifest]) -> list[Manifest]:
    metrics: list[Manifest] = one(found, "HorizontalPodAutoscaler")["spec"]["metrics"]
    return metrics


def test_the_queue_is_a_metric_only_where_the_cluster_serves_metrics_of_pods() -> None:
    """An autoscaler with a metric that it cannot read never scales down."""
    assert [metric["type"] for metric in metrics_of(children(build_pool(**QUEUED)))] == ["Resource"]
    [cpu, queue] = metrics_of(children(build_pool(**QUEUED), CUSTOM_METRICS))
    assert cpu["type"] == "Resource"
    assert queue["pods"] == {
        "metric": {"name": QUEUE_METRIC},
        "target": {"type": "AverageValue", "averageValue": "10"},
    }


def test_the_queue_metric_is_a_gauge_of_the_sandbox() -> None:
    assert f"\n{QUEUE_METRIC} 0.0\n" in generate_latest(SandboxMetrics().registry).decode()


def test_every_demand_that_keda_reads_is_a_gauge_of_the_inference_plane_from_its_start() -> None:
    """KEDA takes a metric that is not there for an error, and then never scales to zero."""
    exposed = generate_latest(InferenceMetrics().registry).decode()
    for state in DEMAND_STATES:
        assert f"\n{demand_location(state)} 0.0\n" in exposed


def test_pods_go_slowly_unless_the_spec_says_how() -> None:
    behavior = one(children(build_pool(**QUEUED)), "HorizontalPodAutoscaler")["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert [policy["value"] for policy in behavior["scaleDown"]["policies"]] == [10, 1]
    assert "scaleUp" not in behavior


def test_a_direction_that_is_written_is_taken_whole() -> None:
    down = {"selectPolicy": "Disabled"}
    up = {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]}
    pool = build_pool(autoscaling={"maxReplicas": 9, "behavior": {"scaleUp": up, "scaleDown": down}})
    behavior = one(children(pool), "HorizontalPodAutoscaler")["spec"]["behavior"]
    assert behavior == {"scaleUp": {**up, "selectPolicy": "Max"}, "scaleDown": down}


def test_keda_scales_in_place_of_the_kubernetes_autoscaler_where_it_is_served() -> None:
    pool = build_pool(**SLEEPY)
    assert "HorizontalPodAutoscaler" in kinds(children(pool))
    assert "ScaledObject" not in kinds(children(pool))
    found = children(pool, *KEDA)
    assert "HorizontalPodAutoscaler" not in kinds(found)
    spec = one(found, "ScaledObject")["spec"]
    assert (spec["idleReplicaCount"], spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 2, 9)
    assert [trigger["type"] for trigger in spec["triggers"]] == ["cpu", "metrics-api", "metrics-api"]


def test_keda_without_scale_to_zero_keeps_the_fewest_pods() -> None:
    spec = one(children(build_pool(autoscaling={"provider": "KEDA", "maxReplicas": 9}), *KEDA), "ScaledObject")["spec"]
    assert spec["minReplicaCount"] == 1
    assert "idleReplicaCount" not in spec


@pytest.mark.parametrize(
    ("spec", "target"),
    [({}, "66"), ({"limits": {"maxSessions": 10}}, "8"), ({"image": "my-tools"}, "20")],
    ids=["what memory holds", "as limited", "a guest of one's own"],
)
def test_pods_are_asked_for_before_sessions_run_out(spec: Manifest, target: str) -> None:
    found = one(children(build_pool(**spec, **SLEEPY), *KEDA), "ScaledObject")
    assert {trigger["metadata"]["targetValue"] for trigger in found["spec"]["triggers"][1:]} == {target}


def test_keda_finds_the_inference_pods_of_every_stack_that_uses_the_pool() -> None:
    found = children(build_pool("shared", **SLEEPY), *KEDA)
    service = one(found, "Service", "shared-wasm-demand")
    pods = one(children(build_stack(sandboxPoolRef={"name": "shared"})), "Deployment")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pods["metadata"]["labels"].items()
    [port] = [port for port in pods["spec"]["containers"][0]["ports"] if port["name"] == "metrics"]
    assert service["spec"]["ports"][0]["targetPort"] == port["containerPort"]
    url = one(found, "ScaledObject")["spec"]["triggers"][1]["metadata"]["url"]
    assert url == f"http://shared-wasm-demand.team.svc:{port['containerPort']}/metrics"


def test_keda_is_let_in_to_stacks_whose_pool_it_scales_and_to_no_others() -> None:
    pool = build_pool("shared", **SLEEPY)
    user, other = build_stack("user", sandboxPoolRef={"name": "shared"}), build_stack("other")
    found = render_all([pool, user, other], IMAGES)
    [callers, keda] = one(found, "NetworkPolicy", "user-rlm")["spec"]["ingress"]
    assert callers["ports"][0]["port"] == 8000
    assert keda["ports"][0]["port"] == 9090
    assert keda["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "keda"}
    assert len(one(found, "NetworkPolicy", "other-rlm")["spec"]["ingress"]) == 1


@pytest.mark.parametrize(
    ("live", "count"),
    [
        (None, 3),
        (AT_ZERO, None),
        (LiveScale(replicas=0, decided_elsewhere=False), 2),
        (LiveScale(replicas=5, decided_elsewhere=True), None),
    ],
    ids=["a new pool starts awake", "asleep", "resumed", "scaled"],
)
def test_a_pool_that_may_sleep_is_left_asleep_by_whom_keda_put_to_sleep(
    live: LiveScale | None, count: int | None
) -> None:
    assert replicas(build_pool(**SLEEPY), *KEDA, live=live) == count


def test_a_pool_that_nothing_could_wake_does_not_sleep() -> None:
    assert replicas(build_pool(**SLEEPY), live=AT_ZERO) == 2


@pytest.mark.parametrize("spec", [{}, {"autoscaling": {"maxReplicas": 9}}, SLEEPY])
@pytest.mark.parametrize("live", [None, LiveScale(replicas=4, decided_elsewhere=True)])
def test_a_suspended_pool_has_no_pods_whoever_scales_it(spec: Manifest, live: LiveScale | None) -> None:
    assert replicas(build_pool(**spec, suspend=True), *KEDA, live=live) == 0


def test_a_suspended_pool_keeps_its_autoscaler_and_tells_keda_to_rest() -> None:
    assert "HorizontalPodAutoscaler" in kinds(children(build_pool(**QUEUED, suspend=True)))
    paused = "autoscaling.keda.sh/paused"
    for suspend in (True, False):
        found = one(children(build_pool(**SLEEPY, suspend=suspend), *KEDA), "ScaledObject")
        assert (found["metadata"]["annotations"].get(paused) == "true") == suspend


@pytest.mark.parametrize(("stack", "pool", "both"), [(True, False, True), (False, True, True), (False, False, False)])
def test_a_stack_takes_its_own_pool_along_into_suspension(stack: bool, pool: bool, both: bool) -> None:
    found = children(build_stack(suspend=stack, sandbox={"suspend": pool}))
    assert one(found, "SandboxPool")["spec"]["suspend"] is both


def test_a_suspended_stack_leaves_a_pool_that_it_refers_to() -> None:
    assert "SandboxPool" not in kinds(children(build_stack(suspend=True, sandboxPoolRef={"name": "shared"})))
