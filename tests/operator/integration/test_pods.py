"""Whole lives of stacks whose pods run: scheduled by kube-scheduler, made ready and taken away by kwok.

Elsewhere a test says itself what becomes of a pod, or pods stay pending. Here nobody does: a control plane of its own
has nodes, and an operator of its own works on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.fixture import plane_with_nodes, pod_binaries
from tests.controlplane.kubectl import Object
from tests.operator.integration.installation import install
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.pod_history import PodHistory
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import CHILD_RESOURCES, Tenant

__all__ = ["plane_with_nodes", "pod_binaries"]

DEPLOYMENTS: Final = {"s-rlm": 2, "s-wasm": 3}
SPEC: Final[Object] = {
    "inference": {"replicas": DEPLOYMENTS["s-rlm"]},
    # Its probe is a pod that has to say something, and no container runs here.
    "sandbox": {"replicas": DEPLOYMENTS["s-wasm"], "isolationProbe": {"enabled": False}},
}
RESOURCES: Final = ("rlmstack", "sandboxpool")

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def working_operator(
    plane_with_nodes: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    installation = install(plane_with_nodes)
    kubeconfig = plane_with_nodes.service_account_kubeconfig(installation.namespace, installation.service_account)
    operator = OperatorProcess(kubeconfig, installation.user, tmp_path_factory.mktemp("operator") / "operator.log")
    operator.start()
    yield operator
    assert operator.stop() == 0


@pytest.fixture
def served(plane_with_nodes: ControlPlane, working_operator: OperatorProcess) -> Tenant:
    """A namespace with stack `s`, which is ready."""
    tenant = Tenant(plane_with_nodes, f"pods-{next(_numbers)}")
    tenant.apply(build_stack("s", tenant.namespace, SPEC))
    expect_ready(tenant, DEPLOYMENTS)
    return tenant


def expect_ready(tenant: Tenant, pods: dict[str, int]) -> None:
    for resource, count in zip(RESOURCES, pods.values(), strict=True):
        tenant.expect_condition(resource, "s", "Ready", "True")
        expect_status(tenant, resource, count)


def expect_status(tenant: Tenant, resource: str, count: int) -> None:
    """Every number of pods in the status is `count`."""
    fields = ("desiredReplicas", "replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
    eventually(
        lambda: {tenant.expect(resource, "s")["status"][field] for field in fields} == {count},
        f"{count} pods in the status of {resource} s",
    )


def pods_of(tenant: Tenant) -> list[Object]:
    return tenant.kubectl.list("pods", tenant.namespace)


def test_a_stack_and_its_pool_are_ready_when_their_pods_run_on_nodes(served: Tenant) -> None:
    pods = pods_of(served)
    assert len(pods) == sum(DEPLOYMENTS.values())
    nodes = {node["metadata"]["name"] for node in served.kubectl.list("nodes")}
    assert {pod["spec"]["nodeName"] for pod in pods} <= nodes
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    for resource in RESOURCES:
        assert served.condition(resource, "s", "Progressing")["status"] == "False"  # type: ignore[index]  # is there


def test_a_changed_spec_replaces_every_pod_with_never_fewer_available_than_asked_for(
    served: Tenant, tmp_path: Path
) -> None:
    old = {pod["metadata"]["uid"] for pod in pods_of(served)}
    with PodHistory(served, tmp_path / "pods.json") as history:
        change: Object = {"rlm": {"maxIterations": 11}, "sandbox": {"limits": {"timeout": "45s"}}}
        served.patch("rlmstack", "s", {"spec": change})
        eventually(lambda: not old & {pod["metadata"]["uid"] for pod in pods_of(served)}, "new pods only")
        expect_ready(served, DEPLOYMENTS)
    for deployment, count in DEPLOYMENTS.items():
        assert history.fewest_available(deployment) == count
        assert len(history.pods(deployment)) == 2 * count


def test_scaling_shows_in_the_status_as_pods_come_and_go(served: Tenant) -> None:
    for count in (5, 1):
        served.patch("rlmstack", "s", {"spec": {"sandbox": {"replicas": count}}})
        served.kubectl.run("scale", "rlmstack", "s", f"--replicas={count}", "-n", served.namespace)
        expect_ready(served, {"s-rlm": count, "s-wasm": count})
        assert len(pods_of(served)) == 2 * count


def test_a_suspended_stack_has_no_pods_and_says_so_and_a_resumed_one_is_ready_again(served: Tenant) -> None:
    served.patch("rlmstack", "s", {"spec": {"suspend": True}})
    for resource in RESOURCES:
        served.expect_condition(resource, "s", "Suspended", "True", says="no pods run")
        served.expect_condition(resource, "s", "Ready", "False", says="Set suspend to false")
        expect_status(served, resource, 0)
    assert pods_of(served) == []
    served.patch("rlmstack", "s", {"spec": {"suspend": False}})
    expect_ready(served, DEPLOYMENTS)


def test_a_deleted_stack_leaves_no_pod_and_no_child(served: Tenant) -> None:
    leftovers = f"pods,replicasets.apps,endpointslices.discovery.k8s.io,{CHILD_RESOURCES}"
    before = served.kubectl.list(leftovers, served.namespace)
    assert {"Pod", "Secret", "EndpointSlice"} <= {child["kind"] for child in before}
    served.delete("rlmstack", "s")

    def left() -> list[tuple[str, str]]:
        found = served.kubectl.list(leftovers, served.namespace)
        return [(child["kind"], child["metadata"]["name"]) for child in found if not is_of_every_namespace(child)]

    eventually(lambda: not left(), "nothing being left")


def is_of_every_namespace(child: Object) -> bool:
    """What Kubernetes puts into each."""
    return (child["kind"], child["metadata"]["name"]) in {
        ("ConfigMap", "kube-root-ca.crt"),
        ("ServiceAccount", "default"),
    }
