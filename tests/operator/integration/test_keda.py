"""KEDA's ScaledObject in place of a HorizontalPodAutoscaler: where it is served, asleep and awake, and when it goes.

The CRDs are KEDA's own; KEDA itself does not run here, so the tests write the replica count as it does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import SAMPLES, build_pool
from tests.operator.integration.tenant import Tenant

SCALER = "horizontalpodautoscalers.autoscaling"
SLEEPY: Object = {"autoscaling": {"provider": "KEDA", "scaleToZero": True, "minReplicas": 2, "maxReplicas": 9}}
PAUSED = "autoscaling.keda.sh/paused"


@pytest.fixture
def keda(control_plane: ControlPlane, operator: OperatorProcess) -> Iterator[None]:
    """The cluster serves ScaledObjects inside the test, and the operator knows."""
    install_crds(control_plane.admin, "keda")
    restart(operator)
    yield
    remove_crds(control_plane.admin, "keda")
    restart(operator)


def restart(operator: OperatorProcess) -> None:
    """It asks at its start what the cluster serves, and again only half a minute later."""
    operator.ensure_running()
    operator.restart()


def expect_replicas(tenant: Tenant, deployment: str, count: int) -> None:
    eventually(
        lambda: tenant.expect("deployment", deployment)["spec"]["replicas"] == count, f"{count} pods of {deployment}"
    )


def scale(tenant: Tenant, deployment: str, count: int) -> None:
    """As KEDA does."""
    tenant.kubectl.run("scale", "deployment", deployment, f"--replicas={count}", "-n", tenant.namespace)


def is_paused(tenant: Tenant) -> bool:
    found = tenant.expect("scaledobject", "p-wasm")
    return bool(found["metadata"]["annotations"].get(PAUSED) == "true")


def test_a_pool_is_put_to_sleep_and_woken_by_keda_and_the_operator_lets_it(keda: None, tenant: Tenant) -> None:
    tenant.create_secret("llm-secrets", api_key="sk-test")
    tenant.apply_file(SAMPLES / "keda.yaml")
    scaled = tenant.expect("scaledobject", "frugal-wasm")
    assert (scaled["spec"]["idleReplicaCount"], scaled["spec"]["minReplicaCount"]) == (0, 2)
    assert tenant.get(SCALER, "frugal-wasm") is None
    service = tenant.expect("service", "frugal-wasm-demand")
    tenant.make_pods_ready("frugal-rlm", 1)
    wanted = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
    assert len(tenant.kubectl.list("pods", tenant.namespace, wanted)) == 1
    ports = [port["port"] for rule in expect_ingress(tenant) for port in rule["ports"]]
    assert ports[-1] == 9090
    expect_replicas(tenant, "frugal-wasm", 3)
    scale(tenant, "frugal-wasm", 0)
    tenant.expect_condition("sandboxpool", "frugal", "Available", "True", says="the next run wakes the pool")
    tenant.expect_condition("rlmstack", "frugal", "Ready", "True")
    expect_replicas(tenant, "frugal-wasm", 0)
    scale(tenant, "frugal-wasm", 2)
    tenant.make_pods_ready("frugal-wasm", 2)
    tenant.expect_condition("sandboxpool", "frugal", "Available", "True", says="2 of 2")


def expect_ingress(tenant: Tenant) -> list[Object]:
    rules: list[Object] = tenant.expect("networkpolicy", "frugal-rlm")["spec"]["ingress"]
    return rules


def test_a_pool_has_one_autoscaler_at_a_time_and_keda_rests_while_it_is_suspended(keda: None, tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace, SLEEPY))
    tenant.expect("scaledobject", "p-wasm")
    assert not is_paused(tenant)
    tenant.patch("sandboxpool", "p", {"spec": {"suspend": True}})
    eventually(lambda: is_paused(tenant), "the ScaledObject being paused")
    expect_replicas(tenant, "p-wasm", 0)
    scale(tenant, "p-wasm", 2)  # KEDA had not seen it yet
    expect_replicas(tenant, "p-wasm", 0)
    tenant.patch("sandboxpool", "p", {"spec": {"suspend": False}})
    eventually(lambda: not is_paused(tenant), "the ScaledObject going on")
    expect_replicas(tenant, "p-wasm", 2)
    tenant.patch("sandboxpool", "p", {"spec": {"autoscaling": {"provider": "HPA", "scaleToZero": False}}})
    tenant.expect(SCALER, "p-wasm")
    for resource, name in (("scaledobject", "p-wasm"), ("service", "p-wasm-demand")):
        tenant.expect_gone(resource, name)
    tenant.patch("sandboxpool", "p", {"spec": SLEEPY})
    tenant.expect("scaledobject", "p-wasm")
    tenant.expect_gone(SCALER, "p-wasm")


def test_without_keda_the_pool_stays_awake_with_an_autoscaler_and_says_why(tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace, SLEEPY))
    found = tenant.expect_condition("sandboxpool", "p", "ScalingActive", "False", says="install KEDA")
    assert found["reason"] in ("ScaleToZeroRefused", "AutoscalerInactive")
    assert tenant.expect(SCALER, "p-wasm")["spec"]["minReplicas"] == 2
    scale(tenant, "p-wasm", 0)
    expect_replicas(tenant, "p-wasm", 2)
    tenant.make_pods_ready("p-wasm", 2)
    tenant.expect_condition("sandboxpool", "p", "Ready", "True")


def test_a_pool_asleep_is_woken_when_keda_is_taken_out_of_the_cluster(
    tenant: Tenant, control_plane: ControlPlane, operator: OperatorProcess
) -> None:
    install_crds(control_plane.admin, "keda")
    restart(operator)
    tenant.apply(build_pool("p", tenant.namespace, SLEEPY))
    tenant.expect("scaledobject", "p-wasm")
    scale(tenant, "p-wasm", 0)
    tenant.expect_condition("sandboxpool", "p", "Available", "True", says="the next run wakes the pool")
    remove_crds(control_plane.admin, "keda")
    restart(operator)
    expect_replicas(tenant, "p-wasm", 2)
    tenant.expect(SCALER, "p-wasm")
    tenant.expect_condition("sandboxpool", "p", "ScalingActive", "False")
