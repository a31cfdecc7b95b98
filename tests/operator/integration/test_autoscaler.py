"""The real autoscaler controller scales our Deployment by CPU use and by the queue, and the operator lets it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.metrics_api import MetricsApi, serve_metrics
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_pool
from tests.operator.integration.tenant import Tenant

SECONDS = 120.0
AT_ONCE: Object = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 9, "periodSeconds": 15}]}
SPEC: Object = {
    "replicas": 2,
    "resources": {"requests": {"cpu": "100m"}},
    "autoscaling": {
        "minReplicas": 2,
        "maxReplicas": 6,
        "targetCPUUtilization": 50,
        "targetQueueLength": 10,
        "behavior": {"scaleDown": AT_ONCE},
    },
}


@pytest.fixture(scope="module")
def metrics(control_plane: ControlPlane) -> Iterator[MetricsApi]:
    """The cluster serves metrics of pods."""
    with serve_metrics(control_plane, "wasm_execution_queue_length") as api:
        yield api


def expect_count(tenant: Tenant, count: int) -> None:
    """Waits until the Deployment has `count` pods and makes them run."""
    eventually(lambda: tenant.expect("deployment", "p-wasm")["spec"]["replicas"] == count, f"{count} replicas", SECONDS)
    tenant.make_pods_ready("p-wasm", count)


def test_the_real_autoscaler_scales_by_cpu_use_and_queue_and_the_operator_never_writes_the_count(
    tenant: Tenant, metrics: MetricsApi, operator: OperatorProcess, control_plane: ControlPlane
) -> None:
    operator.restart()  # asks at its start what the cluster serves
    metrics.cpu, metrics.gauge = 50, 10  # both as aimed at
    tenant.apply(build_pool("p", tenant.namespace, SPEC))
    tenant.make_pods_ready("p-wasm", 2)
    tenant.expect_condition("sandboxpool", "p", "ScalingActive", "True", SECONDS)
    metrics.cpu = 100  # of 50: twice the pods
    expect_count(tenant, 4)
    metrics.cpu = 50
    mark = control_plane.audit.mark()
    metrics.gauge = 15  # of 10: half as many again
    expect_count(tenant, 6)
    tenant.patch("sandboxpool", "p", {"spec": {"limits": {"maxQueue": 7}}})  # the operator writes the Deployment
    eventually(lambda: tenant.expect("configmap", "p-wasm")["data"]["max-queue"] == "7", "a later reconcile")
    metrics.cpu, metrics.gauge = 5, 0
    eventually(lambda: tenant.expect("deployment", "p-wasm")["spec"]["replicas"] == 2, "two replicas", SECONDS)
    scaled = [
        request.user
        for request in control_plane.audit.writes(since=mark)
        if request.namespace == tenant.namespace and request.resource == "deployments/scale"
    ]
    assert set(scaled) == {"system:serviceaccount:kube-system:horizontal-pod-autoscaler"}
    [holder] = [
        entry["manager"]
        for entry in tenant.expect("deployment", "p-wasm")["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    ]
    assert holder == "kube-controller-manager"


def test_a_suspended_pool_is_left_at_zero_by_the_autoscaler_and_scaled_again_after_it(
    tenant: Tenant, metrics: MetricsApi, operator: OperatorProcess
) -> None:
    metrics.cpu, metrics.gauge = 100, 10
    tenant.apply(build_pool("p", tenant.namespace, {**SPEC, "suspend": True}))
    scaler = "horizontalpodautoscaler"
    tenant.expect(scaler, "p-wasm")
    eventually(lambda: says(tenant.expect(scaler, "p-wasm"), "ScalingDisabled"), "the autoscaler resting", SECONDS)
    assert tenant.expect("deployment", "p-wasm")["spec"]["replicas"] == 0
    tenant.patch("sandboxpool", "p", {"spec": {"suspend": False}})
    expect_count(tenant, 2)
    expect_count(tenant, 4)


def says(scaler: Object, reason: str) -> bool:
    return reason in [condition["reason"] for condition in scaler.get("status", {}).get("conditions", [])]
