"""Specs that the API server itself refuses, by schema and CEL: each with a message that says what to do.

No operator takes part: what is refused here never reaches one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import KubectlError
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.pod_rules import POD_RULES

DRAIN = "would block every node drain"

STACKS: dict[str, tuple[Object, str]] = {
    "own sandbox and a pool's": (
        {"sandbox": {}, "sandboxPoolRef": {"name": "shared"}},
        "sandbox and sandboxPoolRef exclude each other: keep sandbox for a pool of the stack's own, or sandboxPoolRef",
    ),
    "sub model elsewhere without a key": (
        {"subModel": {"name": "m", "baseURL": "https://other.example.test/v1"}},
        "add subModel.apiKeySecretRef, or keyless: true if that endpoint takes no key",
    ),
    "sub model keyless with a key": (
        {"subModel": {"name": "m", "baseURL": "http://vllm", "keyless": True, "apiKeySecretRef": {"name": "s"}}},
        "subModel has keyless: true and apiKeySecretRef: remove one of them",
    ),
    "sub model keyless at the root model's endpoint": (
        {"subModel": {"name": "m", "keyless": True}},
        "remove keyless or add baseURL",
    ),
    "metadata service as the model": (
        {"model": {"baseURL": "http://169.254.169.254/latest"}},
        "must not be a link-local address, such as the cloud's metadata service: write the address of the model's",
    ),
    "link-local IPv6 address as the model": (
        {"model": {"baseURL": "http://[fe80::1]/v1"}},
        "baseURL must not be a link-local address",
    ),
    "a baseURL that is no URL": ({"model": {"baseURL": "api.openai.com/v1"}}, "spec.model.baseURL"),
    "a baseURL with a password in it": ({"model": {"baseURL": "https://me:secret@host/v1"}}, "spec.model.baseURL"),
    "fewest pods above most pods": (
        {"inference": {"autoscaling": {"minReplicas": 5, "maxReplicas": 2}}},
        "autoscaling.minReplicas must not exceed autoscaling.maxReplicas: lower minReplicas or raise maxReplicas",
    ),
    "a budget that keeps all pods": (
        {"inference": {"replicas": 2, "disruptionBudget": {"minAvailable": 2}}},
        f"disruptionBudget.minAvailable keeps all pods, which {DRAIN}: lower minAvailable, or raise replicas",
    ),
    "a budget that keeps all pods by rounding up": (
        {"inference": {"replicas": 3, "disruptionBudget": {"minAvailable": "70%"}}},
        f"keeps all pods, which {DRAIN}",
    ),
    "a budget that keeps the autoscaler's floor": (
        {"inference": {"autoscaling": {"minReplicas": 1, "maxReplicas": 9}, "disruptionBudget": {"minAvailable": 1}}},
        f"keeps all pods, which {DRAIN}",
    ),
    "a budget of which no pod may be away": (
        {"inference": {"disruptionBudget": {"maxUnavailable": 0}}},
        f"disruptionBudget.maxUnavailable 0 {DRAIN}: write at least 1, or leave disruptionBudget out",
    ),
    "both forms of a budget": (
        {"inference": {"disruptionBudget": {"maxUnavailable": 1, "minAvailable": 1}}},
        "disruptionBudget takes minAvailable or maxUnavailable, not both: remove one of them",
    ),
    "keys for an endpoint that asks for none": (
        {"inference": {"auth": {"mode": "Disabled", "secretRef": {"name": "keys"}}}},
        "remove auth.secretRef, or set auth.mode to APIKey",
    ),
    "a run of no time": (
        {"rlm": {"timeout": "0s"}},
        "rlm.timeout must be from 1s to 24h: write a duration such as 1h",
    ),
    "a run that is no duration": ({"rlm": {"timeout": "soon"}}, "spec.rlm.timeout"),
    "egress rules that nobody applies": (
        {
            "networkPolicy": {
                "management": "Unmanaged",
                "egress": {"mode": "Extend", "rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
            }
        },
        "remove them, or set management to Managed",
    ),
    "egress rules without a mode": (
        {"networkPolicy": {"egress": {"rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}}},
        "set egress.mode to Extend to keep them beside the rules, or to Replace to open the rules only",
    ),
    "a range that is none": (
        {"networkPolicy": {"egress": {"mode": "Extend", "rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]}}},
        "a cidr must be a range of addresses",
    ),
    "a destination in two forms": (
        {"networkPolicy": {"egress": {"rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}}},
        "a destination is either ipBlock, or podSelector and/or namespaceSelector: write one of the two forms",
    ),
    "a session larger than its own pool's pods": (
        {"sandbox": {"limits": {"memory": "2Gi"}}},
        "raise resources.limits.memory (default 1Gi) or lower limits.memory",
    ),
    **{rule: (spec, rule) for rule, (kind, spec) in POD_RULES.items() if kind == "RLMStack"},
    "more pods than a thousand": ({"inference": {"replicas": 1001}}, "should be less than or equal to 1000"),
}

POOLS: dict[str, tuple[Object, str]] = {
    "clients that nobody lets in": (
        {"networkPolicy": {"management": "Unmanaged"}, "clients": [{"podSelector": {}}]},
        "clients have no effect with networkPolicy.management Unmanaged",
    ),
    "a guest image that cannot be a name": ({"image": "my_Tools"}, "spec.image in body should match '^[a-z0-9]"),
    "a cell of two hours": (
        {"limits": {"timeout": "2h"}},
        "limits.timeout must be longer than 0s and at most 1h: write a duration such as 30s",
    ),
    "a session of one byte": (
        {"limits": {"memory": "1"}},
        "limits.memory must be from 32Mi to 4Gi: write a quantity such as 256Mi",
    ),
    "memory that is no quantity": ({"limits": {"memory": "much"}}, "spec.limits.memory"),
    "a session larger than its pod": (
        {"limits": {"memory": "2Gi"}, "resources": {"limits": {"memory": "1536Mi"}}},
        "limits.memory of one session must fit into the pod: raise resources.limits.memory",
    ),
    "output of a gigabyte": (
        {"limits": {"outputBytes": "1Gi"}},
        "limits.outputBytes must be from 1Ki to 64Mi: write a quantity such as 1Mi",
    ),
    "sessions that idle for a week": (
        {"sessions": {"idleTimeout": "168h"}},
        "sessions.idleTimeout must be from 1s to 24h: write a duration such as 15m",
    ),
    "a client that selects nobody": (
        {"clients": [{}]},
        "a client needs podSelector, namespaceSelector or both: say which pods may call",
    ),
    **{rule: (spec, rule) for rule, (kind, spec) in POD_RULES.items() if kind == "SandboxPool"},
    "fewest pods above most pods": (
        {"autoscaling": {"minReplicas": 5, "maxReplicas": 2}},
        "lower minReplicas or raise maxReplicas",
    ),
    "a budget that keeps all pods": ({"replicas": 1, "disruptionBudget": {"minAvailable": "100%"}}, DRAIN),
}


@pytest.mark.parametrize("case", STACKS)
def test_a_stack_is_refused_with_what_to_do(installed: ControlPlane, case: str) -> None:
    changes, message = STACKS[case]
    assert_refused(installed, build_stack("refused", "default", changes), message)


@pytest.mark.parametrize("case", POOLS)
def test_a_pool_is_refused_with_what_to_do(installed: ControlPlane, case: str) -> None:
    spec, message = POOLS[case]
    assert_refused(installed, build_pool("refused", "default", spec), message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inference": {"replica": 3}}, r'unknown field "(spec\.inference\.)?replica"'),
        ({"inference": {"volumes": []}}, r'unknown field "(spec\.inference\.)?volumes"'),
        (
            {"inference": {"podTemplate": {"hostNetwork": True}}},
            r'unknown field "(spec\.inference\.podTemplate\.)?host',
        ),
        ({"model": None}, r'spec\.model: Required value|missing required field "model"'),
    ],
    ids=["a misspelt field", "a user's own volumes", "the host's network", "no model"],
)
def test_a_stack_of_another_form_is_refused_by_name_of_the_field(
    installed: ControlPlane, changes: Object, message: str
) -> None:
    with pytest.raises(KubectlError, match=message):  # kubectl or the API server says it, depending on kubectl's age
        installed.admin.apply(build_stack("refused", "default", changes), "--dry-run=server")


@pytest.mark.parametrize("name", ["a" * 41, "1st", "with.dot"])
@pytest.mark.parametrize("build", [build_stack, build_pool])
def test_a_name_that_no_service_can_have_is_refused(
    installed: ControlPlane, build: Callable[[str, str], Object], name: str
) -> None:
    assert_refused(installed, build(name, "default"), "metadata.name must be at most 40 characters of a-z, 0-9 and '-'")


@pytest.mark.parametrize("name", ["a", "a" * 40, "team-1"])
def test_names_up_to_the_limit_are_accepted(installed: ControlPlane, name: str) -> None:
    installed.admin.apply([build_stack(name, "default"), build_pool(name, "default")], "--dry-run=server")


@pytest.mark.parametrize(
    "changes",
    [
        {"inference": {"replicas": 0, "disruptionBudget": {"minAvailable": 1}}},
        {"inference": {"replicas": 4, "disruptionBudget": {"minAvailable": "50%"}}},
        {"subModel": {"name": "m", "baseURL": "http://vllm.models.svc/v1", "keyless": True}},
        {"sandbox": {"limits": {"memory": "2Gi"}, "resources": {"limits": {"memory": "4Gi"}}}},
        {"sandboxPoolRef": {"name": "shared"}},
        {"networkPolicy": {"management": "Unmanaged"}},
    ],
    ids=str,
)
def test_a_stack_near_those_limits_is_accepted(installed: ControlPlane, changes: Object) -> None:
    installed.admin.apply(build_stack("accepted", "default", changes), "--dry-run=server")


def assert_refused(installed: ControlPlane, manifest: Object, message: str) -> None:
    with pytest.raises(KubectlError, match=re.escape(message)):
        installed.admin.apply(manifest, "--dry-run=server")
