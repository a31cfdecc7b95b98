"""Rollouts: pods are replaced without a gap, and what keeps them from running is told in the cluster's own words.

The test plays scheduler and kubelet (`kubelet.py`); Deployments, ReplicaSets and pods are real.
"""

from __future__ import annotations

import pytest

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.kubelet import EVICTED, RUNNING, UNSCHEDULABLE, Kubelet, waiting
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_pool
from tests.operator.integration.tenant import Tenant

PULL = waiting("ImagePullBackOff", 'Back-off pulling image "image:1": not found')
CRASH = waiting("CrashLoopBackOff", "back-off", {"reason": "Error", "exitCode": 2, "message": "no guest image mine"})
TEMPLATE_CHANGES: dict[str, Object] = {
    "a setting": {"limits": {"timeout": "45s"}},
    "a label": {"podTemplate": {"labels": {"user.rlm-operator.dev/a": "b"}}},
    "resources": {"resources": {"limits": {"memory": "2Gi"}}},
}


@pytest.fixture
def kubelet(tenant: Tenant) -> Kubelet:
    """Of pool `p` with two pods."""
    tenant.apply(build_pool("p", tenant.namespace, {"replicas": 2}))
    return Kubelet(tenant, "p-wasm")


@pytest.fixture
def old(tenant: Tenant, kubelet: Kubelet) -> set[str]:
    """The two pods of a pool that serves."""
    pods = kubelet.new_pods(2, set())
    kubelet.report(pods, RUNNING)
    tenant.expect_condition("sandboxpool", "p", "Ready", "True")
    return pods


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (PULL, "ImagePullFailed", "ImagePullBackOff: Back-off pulling image"),
        (CRASH, "CrashLooping", "no guest image mine"),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), "ContainerRefused", 'secret "x" not found'),
    ],
    ids=["an image that is not there", "a process that ends", "a container that can not be made"],
)
def test_pods_that_never_start_degrade_the_pool_with_the_kubelets_words(
    tenant: Tenant, kubelet: Kubelet, status: Object, reason: str, words: str
) -> None:
    kubelet.report(kubelet.new_pods(2, set()), status)
    degraded = tenant.expect_condition("sandboxpool", "p", "Degraded", "True", says=words)
    ready = tenant.expect_condition("sandboxpool", "p", "Ready", "False", says=words)
    assert degraded["reason"] == ready["reason"] == reason
    tenant.expect_condition("sandboxpool", "p", "Available", "False", says=words)


def test_pods_that_find_no_node_are_told_and_heal_by_themselves(tenant: Tenant, kubelet: Kubelet) -> None:
    pods = kubelet.new_pods(2, set())
    kubelet.report(pods, UNSCHEDULABLE)
    tenant.expect_condition("sandboxpool", "p", "Progressing", "True", says="3 Insufficient memory")
    tenant.expect_condition("sandboxpool", "p", "Degraded", "False")
    kubelet.report(pods, RUNNING)
    tenant.expect_condition("sandboxpool", "p", "Progressing", "False", says="newest revision")
    tenant.expect_condition("sandboxpool", "p", "Ready", "True")


def test_a_pod_that_a_node_under_pressure_evicted_is_told_while_another_starts(
    tenant: Tenant, kubelet: Kubelet, old: set[str]
) -> None:
    kubelet.report({min(old)}, EVICTED)
    fresh = kubelet.new_pods(1, old)
    tenant.expect_condition("sandboxpool", "p", "Progressing", "True", says="low on resource: ephemeral-storage")
    kubelet.report(fresh, RUNNING)
    tenant.expect_condition("sandboxpool", "p", "Ready", "True")
    tenant.expect_condition("sandboxpool", "p", "Progressing", "False")


def test_pods_that_admission_refuses_are_told_in_its_words(tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace, {"podTemplate": {"priorityClassName": "nobody-made-this"}}))
    words = "no PriorityClass with name nobody-made-this was found"
    assert tenant.expect_condition("sandboxpool", "p", "Degraded", "True", says=words)["reason"] == "PodsRefused"
    tenant.expect_condition("sandboxpool", "p", "Available", "False", says=words)


def test_pods_beyond_a_quota_are_told_in_its_words(tenant: Tenant) -> None:
    tenant.kubectl.run("create", "quota", "small", "--hard=limits.memory=1Gi", "-n", tenant.namespace)
    eventually(lambda: tenant.expect("resourcequota", "small").get("status", {}).get("used"), "the quota being counted")
    tenant.apply(build_pool("p", tenant.namespace, {"replicas": 2}))
    condition = tenant.expect_condition("sandboxpool", "p", "Degraded", "True", says="exceeded quota: small")
    assert condition["reason"] == "QuotaExceeded"


@pytest.mark.parametrize("change", TEMPLATE_CHANGES)
def test_a_change_of_the_pods_takes_none_away_before_a_new_one_serves(
    tenant: Tenant, kubelet: Kubelet, old: set[str], change: str
) -> None:
    tenant.patch("sandboxpool", "p", {"spec": TEMPLATE_CHANGES[change]})
    first = kubelet.new_pods(1, old)
    assert old <= set(kubelet.pods())
    kubelet.report(first, RUNNING)
    second = kubelet.new_pods(2, old) - first
    kubelet.report(second, RUNNING)
    eventually(lambda: set(kubelet.pods()) == first | second, "the old pods being gone")
    tenant.expect_condition("sandboxpool", "p", "Progressing", "False")


def test_a_broken_template_leaves_the_old_pods_serving_and_its_repair_ends_the_trouble(
    tenant: Tenant, kubelet: Kubelet, old: set[str]
) -> None:
    tenant.patch("sandboxpool", "p", {"spec": {"image": "not-there"}})
    broken = kubelet.new_pods(1, old)
    kubelet.report(broken, CRASH)
    tenant.expect_condition("sandboxpool", "p", "Degraded", "True", says="no guest image mine")
    tenant.expect_condition("sandboxpool", "p", "Available", "True", says="2 of 2")
    assert set(kubelet.pods()) == old | broken
    tenant.patch("sandboxpool", "p", {"spec": {"image": "stdlib"}})
    eventually(lambda: set(kubelet.pods()) == old, "the broken pod being gone")
    tenant.expect_condition("sandboxpool", "p", "Ready", "True")
    tenant.expect_condition("sandboxpool", "p", "Degraded", "False")


def test_another_image_of_the_operator_rolls_the_pods_without_a_gap(
    tenant: Tenant, kubelet: Kubelet, old: set[str], operator: OperatorProcess
) -> None:
    operator.stop()
    operator.start(sandbox_image="registry.test/sandbox:2")
    kubelet.new_pods(1, old)
    [image] = {pod["spec"]["containers"][0]["image"] for name, pod in kubelet.pods().items() if name not in old}
    assert image == "registry.test/sandbox:2"
    assert old <= set(kubelet.pods())
    operator.restart()
    eventually(lambda: set(kubelet.pods()) == old, "the pods of the image before")
