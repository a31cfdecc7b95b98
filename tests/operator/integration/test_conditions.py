"""What stands in a stack's way becomes a condition that says what to do, and goes when the way is free."""

from __future__ import annotations

from pathlib import Path

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import QUICKSTART, build_pool, build_stack
from tests.operator.integration.tenant import Tenant

NOTICING_SECONDS = 20.0  # less than any poll: what is watched is noticed by its event
HEALING_SECONDS = 15.0  # promised by the operator: a Secret that was missing is noticed within this time


def test_a_missing_secret_is_named_with_the_command_and_noticed_when_it_appears(tenant: Tenant) -> None:
    tenant.apply_file(QUICKSTART)
    condition = tenant.expect_condition("rlmstack", "demo", "SecretsReady", "False", says="llm-secrets")
    ready = tenant.expect_condition("rlmstack", "demo", "Ready", "False", says="llm-secrets")
    assert ready["reason"] == condition["reason"]
    _, _, command = condition["message"].partition("create it with: kubectl ")
    tenant.kubectl.run(*command.split())
    tenant.expect_condition("rlmstack", "demo", "SecretsReady", "True", HEALING_SECONDS)


def test_a_missing_secret_keeps_no_other_child_back(tenant: Tenant) -> None:
    tenant.apply_file(QUICKSTART)
    tenant.expect_condition("rlmstack", "demo", "SecretsReady", "False")
    for resource, name in (("service", "demo"), ("networkpolicy", "demo-rlm"), ("deployment", "demo-wasm")):
        tenant.expect(resource, name)


def test_a_secret_without_the_entry_is_told_apart_from_a_missing_one(tenant: Tenant) -> None:
    tenant.create_secret("llm-secrets", other_key="sk-test")
    tenant.apply_file(QUICKSTART)
    tenant.expect_condition("rlmstack", "demo", "SecretsReady", "False", says="api-key")
    tenant.patch("secret", "llm-secrets", {"stringData": {"api-key": "sk-test"}})
    tenant.expect_condition("rlmstack", "demo", "SecretsReady", "True", HEALING_SECONDS)


def test_a_missing_bundle_of_authorities_is_named_with_the_command_and_noticed_when_it_appears(
    tenant: Tenant, tmp_path: Path
) -> None:
    stack = build_stack("s", tenant.namespace, {"model": {"caBundleRef": {"name": "corp-ca"}}})
    tenant.apply(stack)
    tenant.expect("deployment", "s-rlm")
    condition = tenant.expect_condition("rlmstack", "s", "Degraded", "True", says='ConfigMap "corp-ca"')
    ready = tenant.expect_condition("rlmstack", "s", "Ready", "False", says='ConfigMap "corp-ca"')
    assert ready["reason"] == condition["reason"] == "ConfigMapMissing"
    _, _, command = condition["message"].partition("create it with: kubectl ")
    bundle = tmp_path / "ca.crt"
    bundle.write_text("authorities")
    tenant.kubectl.run(*command.replace("FILE", str(bundle)).split())
    tenant.expect_condition("rlmstack", "s", "Degraded", "False", HEALING_SECONDS)


def test_parameters_of_a_tool_that_are_no_json_schema_are_said_with_their_place(tenant: Tenant) -> None:
    """The API server cannot tell; a pod would end at its start."""
    function = {
        "name": "find_order",
        "description": "Finds an order.",
        "url": "https://orders.test/find",
        "parameters": {"properties": {"number": {"type": "integr"}}},
    }
    tools = {"allowedHosts": ["orders.test"], "functions": [function]}
    tenant.apply(build_stack("s", tenant.namespace, {"tools": tools}))
    condition = tenant.expect_condition("rlmstack", "s", "Ready", "False", says="parameters.properties.number.type")
    assert condition["reason"] == "InvalidSpec"
    function["parameters"] = {"properties": {"number": {"type": "integer"}}}
    tenant.apply(build_stack("s", tenant.namespace, {"tools": tools}))
    tenant.expect("deployment", "s-rlm")
    tenant.expect_condition("rlmstack", "s", "Degraded", "False")


def test_a_pool_whose_own_keys_are_missing_heals_when_they_appear(tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace, {"auth": {"secretRef": {"name": "wasm-secrets"}}}))
    tenant.expect_condition("sandboxpool", "p", "SecretsReady", "False", says="wasm-secrets")
    tenant.create_secret("wasm-secrets", api_key="k" * 32)
    tenant.expect_condition("sandboxpool", "p", "SecretsReady", "True", HEALING_SECONDS)


def test_a_missing_pool_is_named_and_noticed_when_it_appears(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace, {"sandboxPoolRef": {"name": "shared"}}))
    tenant.expect_condition("rlmstack", "s", "SandboxPoolReady", "False", says="shared")
    tenant.apply(build_pool("shared", tenant.namespace, {"replicas": 1}))
    tenant.expect_condition("rlmstack", "s", "SandboxPoolReady", "False", NOTICING_SECONDS, says="0 of 1 pods")
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True", HEALING_SECONDS)
    tenant.make_pods_ready("shared-wasm", 1)
    tenant.expect_condition("rlmstack", "s", "SandboxPoolReady", "True", NOTICING_SECONDS)


def test_an_object_of_somebody_else_is_left_alone_and_named(tenant: Tenant) -> None:
    theirs: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "s-rlm", "namespace": tenant.namespace},
        "data": {"mine": "yes"},
    }
    tenant.apply(theirs)
    before = tenant.expect("configmap", "s-rlm")
    tenant.apply(build_stack("s", tenant.namespace))
    condition = tenant.expect_condition("rlmstack", "s", "Ready", "False", says="s-rlm")
    assert condition["reason"] == "NameConflict"
    tenant.expect("service", "s")
    after = tenant.expect("configmap", "s-rlm")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    tenant.delete("configmap", "s-rlm")
    eventually(lambda: "log-level" in (tenant.get("configmap", "s-rlm") or {}).get("data", {}), "our ConfigMap")


def test_a_stack_deleted_with_a_conflict_leaves_the_other_object(tenant: Tenant) -> None:
    tenant.kubectl.run("create", "configmap", "s-rlm", "-n", tenant.namespace, "--from-literal=mine=yes")
    tenant.apply(build_stack("s", tenant.namespace))
    tenant.expect_condition("rlmstack", "s", "Ready", "False", says="s-rlm")
    tenant.delete("rlmstack", "s")
    tenant.expect_gone("deployment", "s-rlm")
    assert tenant.expect("configmap", "s-rlm")["data"] == {"mine": "yes"}


def test_a_child_that_a_quota_refuses_is_told_in_the_api_servers_words(tenant: Tenant) -> None:
    namespace = ("-n", tenant.namespace)
    tenant.kubectl.run("create", "quota", "small", "--hard=count/services=1", *namespace)
    eventually(lambda: tenant.expect("resourcequota", "small").get("status", {}).get("used"), "the quota being counted")
    tenant.apply(build_stack("s", tenant.namespace))
    refused = "exceeded quota: small"
    eventually(
        lambda: refused in message(tenant, "rlmstack") or refused in message(tenant, "sandboxpool"),
        "the API server's words in a condition",
    )
    for resource, name in (("configmap", "s-rlm"), ("deployment", "s-rlm"), ("deployment", "s-wasm")):
        tenant.expect(resource, name)
    tenant.kubectl.run("delete", "quota", "small", *namespace)
    for name in ("s", "s-rlm-pods", "s-wasm", "s-wasm-pods"):
        tenant.expect("service", name)


def message(tenant: Tenant, resource: str) -> str:
    return str((tenant.condition(resource, "s", "Ready") or {}).get("message"))


def test_a_condition_keeps_its_transition_time_until_its_status_changes(tenant: Tenant) -> None:
    tenant.apply_file(QUICKSTART)
    before = tenant.expect_condition("rlmstack", "demo", "SecretsReady", "False")
    tenant.patch("rlmstack", "demo", {"spec": {"rlm": {"maxIterations": 5}}})
    eventually(lambda: tenant.expect("configmap", "demo-rlm")["data"]["max-iterations"] == "5", "a later reconcile")
    after = tenant.expect_condition("rlmstack", "demo", "SecretsReady", "False")
    assert after["lastTransitionTime"] == before["lastTransitionTime"]


def test_every_condition_has_a_reason_and_a_message(tenant: Tenant) -> None:
    tenant.apply_file(QUICKSTART)
    tenant.expect_condition("rlmstack", "demo", "Ready", "False")
    tenant.expect_condition("sandboxpool", "demo", "Ready", "False")
    for resource in ("rlmstack", "sandboxpool"):
        for condition in tenant.expect(resource, "demo")["status"]["conditions"]:
            assert condition["reason"].isalnum(), condition
            assert condition["message"], condition
