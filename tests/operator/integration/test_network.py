"""What a stack may connect to, on a real API server: targets that are refused, Services that are followed, and Secrets
that carry no label.

Names that lead to a refused address are in test_egress_refusals.py: this machine's DNS is not ours to write.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.integration.tenant import Tenant

METADATA = {"model": {"baseURL": "http://2852039166/latest"}}  # 169.254.169.254, as one number
FOLLOWED_SECONDS = 40.0  # a stack with a missing Service is looked at every 10 s


def egress_of(tenant: Tenant, stack: str) -> list[Object]:
    """Without DNS and the pool."""
    rules: list[Object] = tenant.expect("networkpolicy", f"{stack}-rlm")["spec"]["egress"]
    return rules[2:]


def test_a_stack_at_a_refused_address_gets_its_policy_but_no_pods(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace, METADATA))
    condition = tenant.expect_condition("rlmstack", "s", "Degraded", "True", says="spec.model.baseURL may not be used")
    assert condition["reason"] == "EgressRefused"
    assert "169.254.169.254 is the cloud's metadata service" in condition["message"]
    assert tenant.expect_condition("rlmstack", "s", "Ready", "False")["reason"] == "EgressRefused"
    assert egress_of(tenant, "s") == []
    tenant.expect("deployment", "s-wasm")  # the pool, which connects to nothing
    assert tenant.get("deployment", "s-rlm") is None
    assert tenant.get("configmap", "s-rlm") is None


def test_the_api_server_is_known_by_its_address_and_by_its_name(tenant: Tenant, control_plane: ControlPlane) -> None:
    [address] = tenant.kubectl.get("service", "kubernetes", "default")["spec"]["clusterIPs"]  # type: ignore[index]  # is there
    for number, host in enumerate((address, "kubernetes.default.svc", "kubernetes.default")):
        tenant.apply(build_stack(f"s{number}", tenant.namespace, {"model": {"baseURL": f"https://{host}/v1"}}))
        tenant.expect_condition("rlmstack", f"s{number}", "Degraded", "True", says="is the API server of the cluster")


def test_pods_that_run_keep_their_settings_when_a_refused_address_is_written_and_lose_what_they_could_reach(
    tenant: Tenant,
) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    tenant.make_pods_ready("s-rlm", 3)
    before = tenant.expect("deployment", "s-rlm")
    assert egress_of(tenant, "s")
    tenant.patch("rlmstack", "s", {"spec": METADATA})
    tenant.expect_condition("rlmstack", "s", "Degraded", "True", says="may not be used")
    assert egress_of(tenant, "s") == []
    assert tenant.expect("configmap", "s-rlm")["data"]["model-base-url"] == "https://api.openai.com/v1"
    after = tenant.expect("deployment", "s-rlm")
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    tenant.patch("rlmstack", "s", {"spec": {"model": {"baseURL": "https://203.0.113.7/v1"}}})
    tenant.expect_condition("rlmstack", "s", "Degraded", "False")
    assert [rule["to"] for rule in egress_of(tenant, "s")] == [[{"ipBlock": {"cidr": "203.0.113.7/32"}}]]


def test_a_service_is_followed_to_its_pods_when_it_appears(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace, {"model": {"baseURL": "http://vllm:8080/v1"}}))
    tenant.expect_condition("rlmstack", "s", "NetworkIsolated", "True", says="Service vllm in namespace")
    assert egress_of(tenant, "s") == []
    ports = [{"port": 8080, "targetPort": "http"}]
    metadata = {"name": "vllm", "namespace": tenant.namespace}
    spec = {"selector": {"app": "vllm"}, "ports": ports}
    tenant.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    eventually(lambda: egress_of(tenant, "s") != [], "the rule for the Service", FOLLOWED_SECONDS)
    [rule] = egress_of(tenant, "s")
    [peer] = rule["to"]
    assert peer["podSelector"] == {"matchLabels": {"app": "vllm"}}
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}}
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]


@pytest.fixture
def bounded(operator: OperatorProcess) -> Iterator[None]:
    """The operator with every bound that an administrator can set."""
    operator.stop()
    operator.start(
        allowed_llm_hosts="*.openai.com,vllm.models.svc",
        allowed_egress_cidrs="0.0.0.0/1",
        secret_opt_in="rlm-operator.dev/usable",
    )
    yield
    operator.stop()


@pytest.mark.usefixtures("bounded")
def test_hosts_and_ranges_that_the_administrator_leaves_out_are_refused(tenant: Tenant) -> None:
    rules = [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}]
    cases: dict[str, tuple[Object, str]] = {
        "host": ({"model": {"baseURL": "https://llm.example/v1"}}, "llm.example is not among the hosts"),
        "range": (
            {"networkPolicy": {"egress": {"mode": "Extend", "rules": rules}}},
            "203.0.113.0/24 is outside of what the administrator allows",
        ),
    }
    for name, (changes, words) in cases.items():
        tenant.apply(build_stack(name, tenant.namespace, changes))
        tenant.expect_condition("rlmstack", name, "Degraded", "True", says=words)
        assert tenant.get("deployment", f"{name}-rlm") is None


@pytest.mark.usefixtures("bounded")
def test_no_pod_mounts_a_secret_without_the_label(tenant: Tenant) -> None:
    model = {"model": {"apiKeySecretRef": {"name": "llm-secrets"}}}
    sandbox = {"sandbox": {"auth": {"secretRef": {"name": "wasm-secrets"}}}}
    tenant.create_secret("llm-secrets", api_key="sk-test")
    tenant.apply(build_stack("s", tenant.namespace, {**model, **sandbox}))
    says = 'Secret "llm-secrets" (API key of the root model) does not carry the label "rlm-operator.dev/usable"'
    assert tenant.expect_condition("rlmstack", "s", "SecretsReady", "False", says=says)["reason"] == "SecretNotAllowed"
    # A Secret that is not there yet is waited for: a pod would mount whatever appears.
    tenant.expect_condition("sandboxpool", "s", "SecretsReady", "False", says='Secret "wasm-secrets"')
    assert tenant.get("deployment", "s-rlm") is None
    assert tenant.get("deployment", "s-wasm") is None
    labels = {"rlm-operator.dev/usable": "true"}
    data = {"api-key": base64.b64encode(b"k").decode()}
    metadata = {"name": "wasm-secrets", "namespace": tenant.namespace, "labels": labels}
    tenant.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    tenant.expect("deployment", "s-wasm")
    assert tenant.get("deployment", "s-rlm") is None
    tenant.patch("secret", "llm-secrets", {"metadata": {"labels": labels}})
    tenant.expect("deployment", "s-rlm")


@pytest.mark.usefixtures("bounded")
def test_secrets_that_the_operator_makes_need_no_label(tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace))
    tenant.expect("deployment", "p-wasm")


def test_names_are_opened_by_name_where_ciliums_kind_is_served_and_by_port_where_it_is_not(
    tenant: Tenant, control_plane: ControlPlane
) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    tenant.expect_condition("rlmstack", "s", "NetworkIsolated", "True", says="wider than one host")
    assert egress_of(tenant, "s")
    install_crds(control_plane.admin, "cilium")
    try:
        policy = tenant.expect("ciliumnetworkpolicies.cilium.io", "s-rlm")
        assert policy["spec"]["egress"][1]["toFQDNs"] == [{"matchName": "api.openai.com"}]
        tenant.expect_condition("rlmstack", "s", "NetworkIsolated", "True", says="Cilium opens api.openai.com by name")
        assert egress_of(tenant, "s") == []
    finally:
        remove_crds(control_plane.admin, "cilium")
    eventually(lambda: egress_of(tenant, "s") != [], "the rule of the NetworkPolicy")
