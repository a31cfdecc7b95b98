"""Rendering, case by case: what a field of a spec does to the children."""

from __future__ import annotations

from typing import Any

import pytest

from rlm_operator.inputs import Inputs, LiveScale, PoolTerms, choose_images
from rlm_operator.names import HASH_ANNOTATION
from rlm_operator.render import render, render_all
from rlm_operator.resource import Manifest, Resource
from tests.operator.specs import IMAGES, INPUTS, build_pool, build_stack, one

SCALED = {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}
INTERNET = "0.0.0.0/0"


def container_of(resource: Resource, inputs: Inputs = INPUTS) -> Manifest:
    [container] = one(render(resource, inputs), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def plain_env(resource: Resource) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container_of(resource)["env"] if "value" in entry}


def secret_of_volume(resource: Resource, name: str, inputs: Inputs = INPUTS) -> Any:
    pod = one(render(resource, inputs), "Deployment")["spec"]["template"]["spec"]
    return next((volume["secret"] for volume in pod["volumes"] if volume["name"] == name), None)


def egress_of(**spec: Any) -> list[Manifest]:
    rules: list[Manifest] = one(render(build_stack(**spec), INPUTS), "NetworkPolicy")["spec"]["egress"]
    return rules[2:]  # after DNS, the sandbox pool and the stack's own pods


def test_owner_references_come_with_the_uid_and_nothing_else_changes() -> None:
    bare, owned = render(build_stack(), INPUTS), render(build_stack(uid="u-1"), INPUTS)
    for before, after in zip(bare, owned, strict=True):
        [reference] = after["metadata"].pop("ownerReferences")
        assert (reference["kind"], reference["name"], reference["uid"]) == ("RLMStack", "demo", "u-1")
        assert reference["controller"] is True
        assert before == after


def test_every_child_but_a_secret_carries_a_digest_of_its_content() -> None:
    one_turn, two_turns = (render(build_stack(rlm={"maxIterations": turns}), INPUTS) for turns in (1, 2))
    changed = {
        before["kind"]
        for before, after in zip(one_turn, two_turns, strict=True)
        if before["metadata"].get("annotations", {}).get(HASH_ANNOTATION)
        != after["metadata"].get("annotations", {}).get(HASH_ANNOTATION)
    }
    assert changed == {"ConfigMap", "Deployment"}  # the Deployment, because settings reach a process at its start only


def test_policies_come_before_the_pods_that_they_restrict() -> None:
    for resource in (build_stack(), build_pool()):
        kinds = [child["kind"] for child in render(resource, INPUTS)]
        assert kinds.index("NetworkPolicy") < kinds.index("Deployment")


def test_a_stack_with_a_pool_of_its_own_renders_the_pools_children_too() -> None:
    names = {(child["kind"], child["metadata"]["name"]) for child in render_all([build_stack()], IMAGES)}
    assert {("SandboxPool", "demo"), ("Deployment", "demo-rlm"), ("Deployment", "demo-wasm")} <= names


def test_a_reference_to_a_pool_in_the_same_files_uses_that_pools_secret() -> None:
    pool = build_pool("shared", auth={"secretRef": {"name": "wasm-secrets"}})
    children = render_all([build_stack(sandboxPoolRef={"name": "shared"}), pool], IMAGES)
    pod = one(children, "Deployment", "demo-rlm")["spec"]["template"]["spec"]
    assert "wasm-secrets" in {volume.get("secret", {}).get("secretName") for volume in pod["volumes"]}


def test_a_referenced_pools_key_comes_from_the_secret_that_was_found() -> None:
    stack = build_stack(sandboxPoolRef={"name": "shared"})
    assert secret_of_volume(stack, "sandbox-key")["secretName"] == "demo-rlm-sandbox-key"
    found = Inputs(images=IMAGES, pool=PoolTerms(key_secret="wasm-secrets"))
    assert secret_of_volume(stack, "sandbox-key", found)["secretName"] == "wasm-secrets"


def test_keys_are_mounted_as_files_and_named_by_variables() -> None:
    stack = build_stack(
        model={"name": "m", "baseURL": "https://a.test/v1", "apiKeySecretRef": {"name": "llm", "key": "token"}},
        subModel={"name": "s", "baseURL": "https://b.test/v1", "apiKeySecretRef": {"name": "sub"}},
        inference={"auth": {"secretRef": {"name": "users"}}},
    )
    assert secret_of_volume(stack, "model-key")["items"] == [{"key": "token", "path": "api-key"}]
    assert secret_of_volume(stack, "sub-model-key")["secretName"] == "sub"
    assert secret_of_volume(stack, "api-keys")["secretName"] == "users"
    assert plain_env(stack) | {"RLM_HOST": ""} == {
        "RLM_HOST": "",
        "RLM_PORT": "8000",
        "RLM_METRICS_PORT": "9090",
        "RLM_PEERS_URL": "http://demo-rlm-pods.team.svc:8000",
        "WASM_SERVICE_URL": "https://demo-wasm-pods.team.svc:8000",
        "WASM_TLS_DIR": "/etc/rlm/sandbox-tls",
        "RLM_API_KEYS_DIR": "/etc/rlm/api-keys",
        "RLM_MODEL_API_KEY_FILE": "/etc/rlm/llm/api-key",
        "RLM_SUB_MODEL_API_KEY_FILE": "/etc/rlm/sub-llm/api-key",
        "WASM_API_KEY_FILE": "/etc/rlm/sandbox/api-key",
    }


def test_an_open_endpoint_mounts_no_user_keys_and_makes_no_secret_for_them() -> None:
    stack = build_stack(inference={"auth": {"mode": "Disabled"}})
    assert secret_of_volume(stack, "api-keys") is None
    assert "RLM_API_KEYS_DIR" not in plain_env(stack)
    secrets = [child["metadata"]["name"] for child in render(stack, INPUTS) if child["kind"] == "Secret"]
    assert secrets == ["demo-rlm-sandbox-key", "demo-rlm-sandbox-tls"]


def test_settings_reach_the_config_map_under_their_keys() -> None:
    stack = build_stack(
        rlm={"timeout": "90m", "allowedModels": ["a", "b"], "maxDepth": 2, "maxTokens": 9, "directBelowTokens": 5},
        logging={"level": "DEBUG", "audit": False},
        subModel={"name": "mini"},
    )
    data = one(render(stack, INPUTS), "ConfigMap")["data"]
    assert (data["timeout-seconds"], data["allowed-models"]) == ("5400", "a,b")
    assert (data["max-depth"], data["max-tokens"], data["direct-below-tokens"]) == ("2", "9", "5")
    assert (data["log-level"], data["log-format"], data["audit-log"]) == ("DEBUG", "json", "false")
    assert (data["model-name"], data["sub-model-name"]) == ("gpt-5", "mini")
    assert "sub-model-base-url" not in data


def test_limits_of_a_pool_reach_its_config_map_in_bytes_and_seconds() -> None:
    pool = build_pool(
        limits={"memory": "512Mi", "timeout": "500ms", "maxSessions": 7},
        sessions={"idleTimeout": "1m", "maxDuration": "2h"},
    )
    data = one(render(pool, INPUTS), "ConfigMap")["data"]
    assert data["memory-bytes"] == str(512 * 2**20)
    assert (data["timeout-seconds"], data["idle-timeout-seconds"], data["max-sessions"]) == ("0.5", "60", "7")
    assert (data["lifetime-seconds"], data["audit-log"]) == ("7200", "true")
    assert "max-concurrent-executions" not in data


def test_a_service_in_the_cluster_opens_its_namespace_only() -> None:
    [rule] = egress_of(model={"name": "m", "baseURL": "http://vllm.models.svc:8000/v1"})
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "models"}}}]


@pytest.mark.parametrize("service", ["ClusterIP", "LoadBalancer"])
def test_pods_of_a_stack_find_each_other_and_may_ask_each_other(service: str) -> None:
    children = render(build_stack(inference={"service": {"type": service}}), INPUTS)
    [headless] = [each for each in children if each["metadata"]["name"] == "demo-rlm-pods"]
    labels = one(children, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert headless["spec"]["selector"].items() <= labels
    assert (headless["spec"]["clusterIP"], headless["spec"]["publishNotReadyAddresses"]) == ("None", True)
    policy = one(children, "NetworkPolicy")["spec"]
    for rules, side in ((policy["ingress"], "from"), (policy["egress"], "to")):
        api = [rule for rule in rules if {"protocol": "TCP", "port": 8000} in rule["ports"]]
        own = [peer for rule in api for peer in rule.get(side, [{"podSelector": {}}]) if set(peer) == {"podSelector"}]
        assert any(peer["podSelector"].get("matchLabels", {}).items() <= labels for peer in own)


def test_an_address_opens_that_address_and_port_only() -> None:
    [rule] = egress_of(model={"name": "m", "baseURL": "https://203.0.113.7:8443/v1"})
    assert rule == {"to": [{"ipBlock": {"cidr": "203.0.113.7/32"}}], "ports": [{"protocol": "TCP", "port": 8443}]}


def test_a_public_name_opens_its_port_to_the_internet_but_not_to_private_addresses() -> None:
    [rule] = egress_of()
    [block] = [peer["ipBlock"] for peer in rule["to"] if peer["ipBlock"]["cidr"] == INTERNET]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(block["except"])
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]


def test_two_models_at_one_place_need_one_rule() -> None:
    both = egress_of(subModel={"name": "s", "baseURL": "https://other.test/v1", "keyless": True})
    assert len(both) == 1
    assert len(egress_of(subModel={"name": "s", "baseURL": "https://other.test:8443/v1", "keyless": True})) == 2


def test_written_egress_rules_replace_the_derived_ones() -> None:
    rules = [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.9/32"]}}], "ports": [{"port": 443}]}]
    assert egress_of(networkPolicy={"egress": {"mode": "Replace", "rules": rules}}) == [
        {
            "to": [{"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.9/32"]}}],
            "ports": [{"protocol": "TCP", "port": 443}],
        }
    ]


@pytest.mark.parametrize(("service", "exposed"), [("ClusterIP", False), ("NodePort", True), ("LoadBalancer", True)])
def test_only_an_exposed_service_lets_callers_from_outside_in(service: str, exposed: bool) -> None:
    stack = build_stack(inference={"service": {"type": service}})
    [rule] = one(render(stack, INPUTS), "NetworkPolicy")["spec"]["ingress"]
    assert ("from" not in rule) == exposed


@pytest.mark.parametrize(
    ("live", "replicas"),
    [
        (None, 3),
        (LiveScale(replicas=4, decided_elsewhere=False), 4),
        (LiveScale(replicas=4, decided_elsewhere=True), None),
        (LiveScale(replicas=0, decided_elsewhere=True), 2),
    ],
    ids=["before it exists", "not scaled yet", "scaled by somebody", "at zero, where autoscalers do nothing"],
)
def test_replicas_are_left_to_an_autoscaler_that_has_taken_over(live: LiveScale | None, replicas: int | None) -> None:
    deployment = one(render(build_stack(inference=SCALED), Inputs(images=IMAGES, live=live)), "Deployment")
    assert deployment["spec"].get("replicas") == replicas


def test_without_an_autoscaler_the_specs_replicas_hold_whoever_changed_them() -> None:
    live = LiveScale(replicas=9, decided_elsewhere=True)
    deployment = one(render(build_stack(inference={"replicas": 1}), Inputs(images=IMAGES, live=live)), "Deployment")
    assert deployment["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("spec", "budget"),
    [
        ({"replicas": 0}, None),
        ({"replicas": 1}, {"maxUnavailable": 1}),
        ({"replicas": 3}, {"minAvailable": 2}),
        ({"replicas": 0, **SCALED}, {"maxUnavailable": 1}),
        ({"replicas": 3, "disruptionBudget": {"maxUnavailable": "25%"}}, {"maxUnavailable": "25%"}),
    ],
    ids=["no pods", "one pod", "three pods", "a floor of two", "as written"],
)
def test_the_disruption_budget_follows_the_fewest_pods(spec: Manifest, budget: Manifest | None) -> None:
    children = render(build_pool(**spec), INPUTS)
    budgets = [child["spec"] for child in children if child["kind"] == "PodDisruptionBudget"]
    assert [{key: value for key, value in found.items() if key != "selector"} for found in budgets] == (
        [] if budget is None else [budget]
    )


def test_images_are_the_ones_of_the_inputs() -> None:
    assert container_of(build_stack())["image"] == IMAGES.inference
    assert container_of(build_pool())["image"] == IMAGES.sandbox
    assert container_of(build_pool(image="scientific"))["image"] == IMAGES.sandbox_scientific


def test_a_guest_of_ones_own_reaches_the_settings_and_runs_in_the_container_image_of_the_sandbox() -> None:
    children = render(build_pool(image="my-tools"), INPUTS)
    assert one(children, "ConfigMap")["data"]["image"] == "my-tools"
    assert container_of(build_pool(image="my-tools"))["image"] == IMAGES.sandbox


@pytest.mark.parametrize("guest", ["stdlib", "scientific", "my-tools"])
def test_one_image_that_is_named_for_sandboxes_is_taken_for_every_guest(guest: str) -> None:
    assert choose_images(sandbox="registry.test/mine:1").for_guest(guest) == "registry.test/mine:1"


@pytest.mark.parametrize(
    "image", ["host:5000/team/sandbox:1", "host:5000/team/sandbox", f"host:5000/team/sandbox:1@sha256:{'1' * 64}"]
)
def test_a_pools_digest_takes_the_place_of_the_operators_tag(image: str) -> None:
    digest = f"sha256:{'0' * 64}"
    children = render(build_pool(imageDigest=digest), Inputs(images=choose_images(sandbox=image)))
    [container] = one(children, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"host:5000/team/sandbox@{digest}"


def test_a_sandbox_may_finish_its_longest_cell_before_it_is_killed() -> None:
    pool = build_pool(limits={"timeout": "90500ms"})
    pod = one(render(pool, INPUTS), "Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 91 + 30
