"""Disruption budgets as a drain meets them: evictions through the real API, and where there is no budget."""

from __future__ import annotations

import json

import pytest

from tests.controlplane.errors import KubectlError
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import build_pool
from tests.operator.integration.tenant import Tenant

BUDGET = "poddisruptionbudget"


def evict(tenant: Tenant) -> None:
    """One running pod, as `kubectl drain` does. Raises KubectlError where the budget forbids it."""
    pods = tenant.kubectl.list("pods", tenant.namespace)
    name = next(pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{tenant.namespace}/pods/{name}/eviction"
    tenant.kubectl.run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def expect_allowed(tenant: Tenant, disruptions: int) -> None:
    """The controller of budgets has counted."""

    def is_counted() -> bool:
        status: Object = tenant.expect(BUDGET, "p-wasm").get("status", {})
        return status.get("observedGeneration") == 1 and status.get("disruptionsAllowed") == disruptions

    eventually(is_counted, f"{disruptions} allowed disruptions")


@pytest.mark.parametrize(("replicas", "allowed"), [(3, 1), (2, 1), (1, 1)])
def test_a_drain_takes_one_pod_at_a_time_and_always_ends(tenant: Tenant, replicas: int, allowed: int) -> None:
    tenant.apply(build_pool("p", tenant.namespace, {"replicas": replicas}))
    tenant.make_pods_ready("p-wasm", replicas)
    expect_allowed(tenant, allowed)
    evict(tenant)
    expect_allowed(tenant, 0)
    if replicas > 1:
        with pytest.raises(KubectlError, match="violate the pod's disruption budget"):
            evict(tenant)
    tenant.make_pods_ready("p-wasm", replicas)  # the Deployment has made another
    expect_allowed(tenant, allowed)
    evict(tenant)


def test_a_resource_that_wants_no_pods_has_no_budget_and_a_suspended_one_keeps_it(tenant: Tenant) -> None:
    tenant.apply(
        build_pool("p", tenant.namespace, {"suspend": True}), build_pool("none", tenant.namespace, {"replicas": 0})
    )
    assert tenant.expect(BUDGET, "p-wasm")["spec"]["minAvailable"] == 2
    tenant.expect("deployment", "none-wasm")
    tenant.expect_condition("sandboxpool", "none", "Available", "False")
    assert tenant.get(BUDGET, "none-wasm") is None
