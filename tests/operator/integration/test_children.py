"""What a stack becomes: `kubectl apply` of the samples, every child of it, and what `kubectl get` shows."""

from __future__ import annotations

import base64

import pytest

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import QUICKSTART, SAMPLES, build_stack
from tests.operator.integration.tenant import Child, Tenant

QUICKSTART_STACK: set[Child] = {
    ("ServiceAccount", "demo-rlm"),
    ("ConfigMap", "demo-rlm"),
    ("Secret", "demo-rlm-keys"),
    ("Secret", "demo-rlm-sandbox-key"),
    ("Secret", "demo-rlm-sandbox-tls"),
    ("NetworkPolicy", "demo-rlm"),
    ("Service", "demo"),
    ("Service", "demo-rlm-pods"),
    ("Deployment", "demo-rlm"),
    ("PodDisruptionBudget", "demo-rlm"),
    ("SandboxPool", "demo"),
}
QUICKSTART_POOL: set[Child] = {
    ("ServiceAccount", "demo-wasm"),
    ("ConfigMap", "demo-wasm"),
    ("Secret", "demo-wasm-keys"),
    ("Secret", "demo-wasm-ca"),
    ("Secret", "demo-wasm-tls"),
    ("Secret", "demo-wasm-client-tls"),
    ("NetworkPolicy", "demo-wasm"),
    ("Service", "demo-wasm"),
    ("Service", "demo-wasm-pods"),
    ("Deployment", "demo-wasm"),
    ("PodDisruptionBudget", "demo-wasm"),
}


@pytest.fixture
def quickstart(tenant: Tenant) -> dict[Child, Object]:
    """The children of the quickstart, whose Secret exists."""
    tenant.create_secret("llm-secrets", api_key="sk-test")
    tenant.apply_file(QUICKSTART)
    return tenant.expect_children(QUICKSTART_STACK | QUICKSTART_POOL)


def test_the_quickstart_brings_every_child_owned_by_its_resource(
    tenant: Tenant, quickstart: dict[Child, Object]
) -> None:
    owners = {"RLMStack": QUICKSTART_STACK, "SandboxPool": QUICKSTART_POOL}
    for kind, children in owners.items():
        owner = tenant.expect(kind, "demo")
        for child in children:
            [reference] = quickstart[child]["metadata"]["ownerReferences"]
            assert (reference["kind"], reference["name"], reference["uid"]) == (kind, "demo", owner["metadata"]["uid"])
            assert reference["controller"] is True, child


def test_the_quickstarts_inference_pods_get_their_settings_and_keys(quickstart: dict[Child, Object]) -> None:
    settings = quickstart["ConfigMap", "demo-rlm"]["data"]
    assert (settings["log-level"], settings["log-format"]) == ("INFO", "json")
    assert (settings["model-name"], settings["sub-model-name"]) == ("gpt-5", "gpt-5-mini")
    assert settings["model-base-url"] == "https://api.openai.com/v1"
    deployment = quickstart["Deployment", "demo-rlm"]["spec"]
    pod = deployment["template"]["spec"]
    [container] = pod["containers"]
    mounted = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert deployment["replicas"] == 2
    assert container["command"] == ["python", "-m", "runtime.inference"]
    assert mounted == {"demo-rlm-keys", "llm-secrets", "demo-rlm-sandbox-key", "demo-rlm-sandbox-tls"}
    assert variables["WASM_SERVICE_URL"].startswith("https://demo-wasm-pods.")
    assert not [name for name, value in variables.items() if value and "sk-test" in value]


def test_the_quickstarts_sandbox_pods_get_their_own_keys_and_no_other(quickstart: dict[Child, Object]) -> None:
    pod = quickstart["Deployment", "demo-wasm"]["spec"]["template"]["spec"]
    mounted = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert mounted == {"demo-wasm-keys", "demo-wasm-tls"}
    assert pod["automountServiceAccountToken"] is False
    assert quickstart["NetworkPolicy", "demo-wasm"]["spec"].get("egress", []) == []
    assert quickstart["NetworkPolicy", "demo-wasm"]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_generated_keys_are_random_and_survive_a_change_of_the_stack(
    tenant: Tenant, quickstart: dict[Child, Object]
) -> None:
    before = {name: quickstart["Secret", name]["data"]["api-key"] for name in ("demo-rlm-keys", "demo-wasm-keys")}
    assert len(set(before.values())) == 2
    assert all(len(base64.b64decode(key)) >= 32 for key in before.values())
    tenant.patch("rlmstack", "demo", {"spec": {"logging": {"level": "DEBUG"}}})
    eventually(lambda: tenant.expect("configmap", "demo-rlm")["data"]["log-level"] == "DEBUG", "the changed setting")
    after = {name: tenant.expect("secret", name)["data"]["api-key"] for name in before}
    assert after == before


def test_a_changed_setting_rolls_the_pods(tenant: Tenant, quickstart: dict[Child, Object]) -> None:
    before = quickstart["Deployment", "demo-rlm"]["spec"]["template"]
    tenant.patch("rlmstack", "demo", {"spec": {"rlm": {"maxIterations": 7}}})
    eventually(lambda: tenant.expect("deployment", "demo-rlm")["spec"]["template"] != before, "another pod template")


def test_pods_are_admitted_under_pod_security_restricted(tenant: Tenant, quickstart: dict[Child, Object]) -> None:
    eventually(lambda: len(tenant.kubectl.list("pods", tenant.namespace)) == 4, "two pods of each plane")


def test_kubectl_get_shows_the_columns(tenant: Tenant, quickstart: dict[Child, Object]) -> None:
    tenant.make_pods_ready("demo-rlm", 2)
    tenant.make_pods_ready("demo-wasm", 2)
    tenant.expect_condition("rlmstack", "demo", "Ready", "True")
    stacks, pools = show(tenant, "rlmstacks"), show(tenant, "sandboxpools")
    assert stacks == [
        ["NAME", "READY", "DESIRED", "AVAILABLE", "MODEL", "URL", "REASON", "AGE"],
        ["demo", "True", "2", "2", "gpt-5", f"http://demo.{tenant.namespace}.svc", stacks[1][6], stacks[1][7]],
    ]
    assert pools[0] == ["NAME", "READY", "DESIRED", "AVAILABLE", "IMAGE", "URL", "REASON", "AGE"]
    assert pools[1][:5] == ["demo", "True", "2", "2", "stdlib"]


def show(tenant: Tenant, resources: str) -> list[list[str]]:
    return [line.split() for line in tenant.kubectl.run("get", resources, "-n", tenant.namespace).splitlines()]


def test_the_category_shows_both_kinds_and_each_short_name_its_own(
    tenant: Tenant, quickstart: dict[Child, Object]
) -> None:
    lines = tenant.kubectl.run("get", "rlm-operator", "-n", tenant.namespace, "-o", "name").split()
    assert sorted(lines) == ["rlmstack.rlm-operator.dev/demo", "sandboxpool.rlm-operator.dev/demo"]
    for short_name, kind in (("rlm", "RLMStack"), ("sbp", "SandboxPool")):
        assert tenant.expect(short_name, "demo")["kind"] == kind


def test_a_stack_becomes_ready_when_its_pods_are_and_not_before(
    tenant: Tenant, quickstart: dict[Child, Object]
) -> None:
    tenant.expect_condition("rlmstack", "demo", "Ready", "False")
    tenant.make_pods_ready("demo-wasm", 2)
    tenant.expect_condition("sandboxpool", "demo", "Ready", "True")
    tenant.make_pods_ready("demo-rlm", 2)
    tenant.expect_condition("rlmstack", "demo", "Ready", "True")
    status = tenant.expect("rlmstack", "demo")["status"]
    assert (status["replicas"], status["readyReplicas"], status["availableReplicas"]) == (2, 2, 2)


def test_kubectl_scale_changes_the_deployment(tenant: Tenant, quickstart: dict[Child, Object]) -> None:
    tenant.kubectl.run("scale", "rlmstack", "demo", "--replicas=3", "-n", tenant.namespace)
    tenant.kubectl.run("scale", "sandboxpool", "demo", "--replicas=2", "-n", tenant.namespace)
    eventually(lambda: tenant.expect("deployment", "demo-rlm")["spec"]["replicas"] == 3, "three inference pods")


def test_the_shared_pool_sample_gives_two_stacks_one_pool(tenant: Tenant) -> None:
    tenant.create_secret("llm-secrets", api_key="sk-test")
    tenant.apply_file(SAMPLES / "shared-pool.yaml")
    for name in ("answers-rlm", "in-house-rlm", "shared-wasm"):
        tenant.expect("deployment", name)
    tenant.expect("horizontalpodautoscaler", "shared-wasm")
    tenant.expect("horizontalpodautoscaler", "answers-rlm")
    assert len(tenant.kubectl.list("sandboxpools", tenant.namespace)) == 1
    for stack in ("answers", "in-house"):
        tenant.expect_condition("rlmstack", stack, "SandboxPoolReady", "False")
        assert tenant.expect("rlmstack", stack)["status"]["sandboxPool"] == "shared"


def test_a_stack_without_keys_mounts_none(tenant: Tenant) -> None:
    tenant.apply(build_stack("open", tenant.namespace, {"inference": {"auth": {"mode": "Disabled"}}}))
    pod = tenant.expect("deployment", "open-rlm")["spec"]["template"]["spec"]
    mounted = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert mounted == {"open-rlm-sandbox-key", "open-rlm-sandbox-tls"}
    assert tenant.get("secret", "open-rlm-keys") is None
