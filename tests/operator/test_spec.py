"""Specs from files: what an API server would refuse by CEL is refused here with the same words."""

from __future__ import annotations

import re

import pytest

from rlm_operator.errors import SpecInvalidError
from rlm_operator.resource import Manifest, parse_resource
from tests.operator.crd import schema_of, walk
from tests.operator.pod_rules import POD_RULES
from tests.operator.setting_rules import SETTING_RULES
from tests.operator.specs import API_VERSION, MODEL, build_pool, build_stack

RULES: dict[str, tuple[str, Manifest]] = {
    **POD_RULES,
    "sandbox and sandboxPoolRef": ("RLMStack", {"sandbox": {}, "sandboxPoolRef": {"name": "p"}}),
    "subModel with its own baseURL": ("RLMStack", {"subModel": {"name": "m", "baseURL": "http://x/v1"}}),
    "subModel has keyless: true and apiKeySecretRef": (
        "RLMStack",
        {"subModel": {"name": "m", "baseURL": "http://x/v1", "keyless": True, "apiKeySecretRef": {"name": "s"}}},
    ),
    "subModel.keyless needs subModel.baseURL": ("RLMStack", {"subModel": {"name": "m", "keyless": True}}),
    "baseURL must not be a link-local": ("RLMStack", {"model": {"name": "m", "baseURL": "http://169.254.169.254/"}}),
    "rlm.timeout must be": ("RLMStack", {"rlm": {"timeout": "25h"}}),
    "inference.auth.mode Disabled": (
        "RLMStack",
        {"inference": {"auth": {"mode": "Disabled", "secretRef": {"name": "s"}}}},
    ),
    "networkPolicy.egress.rules and networkPolicy.clients have no effect": (
        "RLMStack",
        {"networkPolicy": {"management": "Unmanaged", "clients": [{"podSelector": {}}]}},
    ),
    "networkPolicy.egress.rules need a mode": (
        "RLMStack",
        {"networkPolicy": {"egress": {"rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}}},
    ),
    "a destination is either ipBlock": ("RLMStack", {"networkPolicy": {"egress": {"rules": [{"to": [{}]}]}}}),
    "a cidr must be a range": (
        "RLMStack",
        {"networkPolicy": {"egress": {"mode": "Extend", "rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]}}},
    ),
    "clients have no effect": (
        "SandboxPool",
        {"networkPolicy": {"management": "Unmanaged"}, "clients": [{"podSelector": {}}]},
    ),
    "autoscaling.minReplicas must not exceed": (
        "SandboxPool",
        {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
    ),
    "autoscaling.scaleToZero needs provider KEDA": (
        "SandboxPool",
        {"autoscaling": {"maxReplicas": 2, "scaleToZero": True}},
    ),
    "autoscaling.targetQueueLength is for provider HPA": (
        "SandboxPool",
        {"autoscaling": {"maxReplicas": 2, "provider": "KEDA", "targetQueueLength": 5}},
    ),
    "autoscaling.scaleToZero goes by the sessions of stacks": (
        "SandboxPool",
        {
            "autoscaling": {"maxReplicas": 2, "provider": "KEDA", "scaleToZero": True},
            "clients": [{"podSelector": {}}],
        },
    ),
    "disruptionBudget takes minAvailable or": (
        "SandboxPool",
        {"disruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}},
    ),
    "disruptionBudget.maxUnavailable 0": ("SandboxPool", {"disruptionBudget": {"maxUnavailable": "0%"}}),
    "disruptionBudget.minAvailable keeps all pods": ("SandboxPool", {"disruptionBudget": {"minAvailable": "67%"}}),
    "monitoring.interval must be": ("SandboxPool", {"monitoring": {"interval": "1s"}}),
    "monitoring.labels has a key": ("SandboxPool", {"monitoring": {"labels": {"-release": "x"}}}),
    "limits.timeout must be": ("SandboxPool", {"limits": {"timeout": "0s"}}),
    "limits.memory must be": ("SandboxPool", {"limits": {"memory": "8Gi"}}),
    "limits.outputBytes must be": ("SandboxPool", {"limits": {"outputBytes": "1"}}),
    "isolationProbe.period must be": ("SandboxPool", {"isolationProbe": {"period": "9m"}}),
    "sessions.idleTimeout must be": ("SandboxPool", {"sessions": {"idleTimeout": "0s"}}),
    "sessions.maxDuration must be": ("SandboxPool", {"sessions": {"maxDuration": "169h"}}),
    "tls.issuerRef goes with": ("SandboxPool", {"tls": {"mode": "CertManager"}}),
    "a client needs podSelector": ("SandboxPool", {"clients": [{}]}),
    "limits.memory of one session must fit": ("SandboxPool", {"limits": {"memory": "2Gi"}}),
    **{rule: ("RLMStack", spec) for rule, spec in SETTING_RULES.items()},
}
NAME_RULE = "metadata.name must be"


def manifest(kind: str, spec: Manifest, name: str = "demo") -> Manifest:
    spec = {"model": MODEL, **spec} if kind == "RLMStack" else spec
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def messages_of_crds() -> set[str]:
    return {
        rule["message"]
        for plural in ("rlmstacks", "sandboxpools")
        for _, part in walk(schema_of(plural))
        for rule in part.get("x-kubernetes-validations", [])
    }


@pytest.mark.parametrize("rule", RULES)
def test_a_spec_against_a_rule_is_refused_in_the_words_of_the_crd(rule: str) -> None:
    kind, spec = RULES[rule]
    [message] = [message for message in messages_of_crds() if message.startswith(rule)]
    with pytest.raises(SpecInvalidError, match=re.escape(message)):
        parse_resource(manifest(kind, spec))


def test_every_rule_of_the_crds_is_in_that_table() -> None:
    unlisted = [message for message in messages_of_crds() if not message.startswith((*RULES, NAME_RULE))]
    assert unlisted == []


@pytest.mark.parametrize("name", ["", "1st", "with.dot", "Upper", "a" * 41, "end-"])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    with pytest.raises(SpecInvalidError, match="choose a shorter or plainer name"):
        parse_resource(manifest("SandboxPool", {}, name))


def test_every_wrong_field_is_named_at_its_place() -> None:
    spec = {"inference": {"replica": 1}, "networkPolicy": {"egress": {"rules": [{"to": []}]}}}
    with pytest.raises(SpecInvalidError) as caught:
        parse_resource(manifest("RLMStack", spec))
    assert "spec.inference.replica: unknown field: check its spelling" in str(caught.value)
    assert "spec.networkPolicy.egress.rules[0].to: List should have at least 1 item" in str(caught.value)


def test_another_kind_is_refused_by_name() -> None:
    with pytest.raises(SpecInvalidError, match="v1 Secret is not an RLMStack or SandboxPool"):
        parse_resource({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})


def test_an_explicit_null_counts_as_absent() -> None:
    assert build_pool(limits={"maxSessions": None, "timeout": None}) == build_pool()


def test_a_stack_without_sandbox_or_reference_brings_a_pool_with_all_defaults() -> None:
    stack = build_stack("demo")
    assert stack.spec.owned_pool == build_pool().spec
    assert stack.pool_name == "demo"


def test_a_stack_with_a_reference_brings_no_pool() -> None:
    stack = build_stack(sandboxPoolRef={"name": "shared"})
    assert stack.spec.owned_pool is None
    assert stack.pool_name == "shared"


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ({}, {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
        (
            {"limits": {"memory": "256Mi", "cpu": "0.25"}},
            {"requests": {"cpu": "0.25", "memory": "256Mi"}, "limits": {"cpu": "0.25", "memory": "256Mi"}},
        ),
        (
            {"requests": {"memory": "4Gi", "cpu": 3}},
            {"requests": {"cpu": "3", "memory": "4Gi"}, "limits": {"cpu": "3", "memory": "4Gi"}},
        ),
    ],
    ids=["nothing", "small limits", "large requests"],
)
def test_missing_resources_are_filled_so_that_requests_fit_limits(given: Manifest, filled: Manifest) -> None:
    assert build_pool(resources=given).spec.resources.filled() == filled


@pytest.mark.parametrize(
    ("replicas", "start"), [(1, 2), (3, 3), (9, 5)], ids=["below the floor", "between", "above the ceiling"]
)
def test_autoscaled_pods_start_within_bounds(replicas: int, start: int) -> None:
    pool = build_pool(replicas=replicas, autoscaling={"minReplicas": 2, "maxReplicas": 5})
    assert pool.spec.start == start
