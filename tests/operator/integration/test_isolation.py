"""The isolation probe on a real API server: Jobs come and go, and what their pods report becomes IsolationVerified.

What the pods would see of a network is in tests/runtime/sandbox/test_isolation_probe.py; here a test plays the kubelet.
"""

from __future__ import annotations

from tests.controlplane.eventually import eventually
from tests.operator.integration.probe_pods import ISOLATED, OUTSIDE, RUN, expect_probe_pods, finish_probe
from tests.operator.integration.samples import build_pool
from tests.operator.integration.tenant import Tenant

CLIENTS = {"spec": {"clients": [{"podSelector": {"matchLabels": {"app": "notebook"}}}]}}


def jobs_of(tenant: Tenant) -> list[str]:
    return [job["metadata"]["name"] for job in tenant.kubectl.list("jobs", tenant.namespace, RUN)]


def test_a_probe_runs_when_pods_are_there_and_again_after_a_change_of_the_policy(tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace, {"replicas": 1}))
    waiting = tenant.expect_condition("sandboxpool", "p", "IsolationVerified", "False")
    assert waiting["reason"] == "IsolationPending"
    assert jobs_of(tenant) == []
    tenant.make_pods_ready("p-wasm", 1)
    pods = finish_probe(tenant, ISOLATED)
    address = tenant.expect("service", "p-wasm")["spec"]["clusterIP"]
    assert pods["client"]["spec"]["containers"][0]["args"] == [f"--open=sandbox={address}:8000"]
    verified = tenant.expect_condition("sandboxpool", "p", "IsolationVerified", "True", says="reached none of")
    assert verified["reason"] == "IsolationVerified"
    eventually(lambda: jobs_of(tenant) == [], "the Jobs being cleaned up")
    tenant.patch("sandboxpool", "p", CLIENTS)
    expect_probe_pods(tenant)
    # Until there is another verdict the last one stands.
    assert tenant.expect_condition("sandboxpool", "p", "IsolationVerified", "True")
    tenant.patch("sandboxpool", "p", {"spec": {"isolationProbe": {"enabled": False}}})
    eventually(lambda: jobs_of(tenant) == [], "the Jobs of a probe that was turned off being gone")
    eventually(lambda: tenant.condition("sandboxpool", "p", "IsolationVerified") is None, "no word of it")


def test_a_network_that_does_not_enforce_policies_is_told_with_an_event(tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace, {"replicas": 1}))
    tenant.make_pods_ready("p-wasm", 1)
    finish_probe(tenant, {"sandbox": OUTSIDE, "stranger": (*OUTSIDE, "sandbox"), "client": ("sandbox",)})
    says = "sandbox's network label reached"
    found = tenant.expect_condition("sandboxpool", "p", "IsolationVerified", "False", says=says)
    assert found["reason"] == "NetworkPolicyNotEnforced"
    assert "a pod without a caller's label reached the sandbox port" in found["message"]

    def is_told() -> bool:
        events = tenant.kubectl.list("events.events.k8s.io", tenant.namespace)
        return any(event["reason"] == "NetworkPolicyNotEnforced" and event["type"] == "Warning" for event in events)

    eventually(is_told, "the Event")
