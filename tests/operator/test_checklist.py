"""The security checklist: what the operator renders passes, and each way to weaken what exists fails its item."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given

from rlm_operator.checklist.assessment import Check, Item, assess_pool, assess_stack
from rlm_operator.checklist.evidence import PlaneEvidence
from rlm_operator.inputs import Images, Inputs
from rlm_operator.objects.owner import plane_of
from rlm_operator.render import render
from rlm_operator.resource import Resource, Stack
from tests.operator.specs import PROPERTY, build_pool, build_stack, one, pools, stacks
from tests.operator.weakenings import SIDECAR, WEAKENINGS, Weakening, template

DIGEST = "registry.test/image@sha256:" + "0" * 64
KEYED = {
    "name": "gpt-5",
    "baseURL": "https://api.test/v1",
    "apiKeySecretRef": {"name": "llm-secrets", "key": "api-key"},
}


def live(resource: Resource) -> PlaneEvidence:
    """The resource's plane as it is right after the operator made it, with images that are pinned."""
    children = render(resource, Inputs(images=Images(DIGEST, DIGEST, DIGEST)))
    plane = plane_of(resource.identity)
    return PlaneEvidence(
        component=plane.component,
        workload=plane.workload,
        deployment=one(children, "Deployment"),
        config_map=one(children, "ConfigMap", one(children, "Deployment")["metadata"]["name"]),
        policies=[child for child in children if child["kind"] == "NetworkPolicy"],
    )


def judge(inference: PlaneEvidence, sandbox: PlaneEvidence | None) -> dict[Item, Check]:
    return {check.item: check for check in assess_stack(inference, sandbox)}


INFERENCE = live(build_stack(model=KEYED))
SANDBOX = live(build_pool("demo"))


def test_a_stack_as_the_operator_makes_it_passes_every_item() -> None:
    checks = assess_stack(INFERENCE, SANDBOX)
    assert [check.item for check in checks] == list(Item)
    assert [check for check in checks if not check.passed] == []


def test_a_pool_as_the_operator_makes_it_passes_every_item_but_that_of_the_models_keys() -> None:
    checks = assess_pool(SANDBOX)
    assert [check.item for check in checks] == [item for item in Item if item is not Item.LLM_KEYS]
    assert all(check.passed for check in checks)


@pytest.mark.parametrize(
    ("item", "component", "weaken", "words"), [row[1:] for row in WEAKENINGS], ids=[row[0] for row in WEAKENINGS]
)
def test_what_somebody_changed_fails_its_item_and_is_named(
    item: Item, component: str, weaken: Weakening, words: str
) -> None:
    planes = {plane.component: copy.deepcopy(plane) for plane in (INFERENCE, SANDBOX)}
    weaken(planes[component])
    check = judge(planes["inference"], planes["sandbox"])[item]
    assert not check.passed
    assert words in check.message


def test_every_item_can_fail() -> None:
    assert {row[1] for row in WEAKENINGS} == set(Item)


def test_what_admission_put_into_pods_is_found_though_the_deployment_is_as_it_should_be() -> None:
    spec = copy.deepcopy(template(SANDBOX))
    spec["containers"].append(SIDECAR)
    pods = [{"metadata": {"name": f"demo-wasm-{number}"}, "spec": spec} for number in range(5)]
    sandbox = PlaneEvidence(
        SANDBOX.component, SANDBOX.workload, SANDBOX.deployment, SANDBOX.config_map, SANDBOX.policies, pods
    )
    check = judge(INFERENCE, sandbox)[Item.LIMITS]
    assert "pod demo-wasm-0 and 4 more: container istio-proxy has no cpu" in check.message


def test_a_pool_that_shares_the_models_secret_fails_though_each_is_fine_alone() -> None:
    sandbox = live(build_pool("demo", auth={"secretRef": {"name": "llm-secrets"}}))
    assert all(check.passed for check in assess_pool(sandbox))
    assert "holds the key of a model" in judge(INFERENCE, sandbox)[Item.SANDBOX_KEYS].message


def test_another_entry_of_a_shared_secret_is_no_key_of_a_model() -> None:
    sandbox = copy.deepcopy(SANDBOX)
    [volume] = [volume for volume in template(sandbox)["volumes"] if volume["name"] == "api-keys"]
    volume["secret"] = {"secretName": "llm-secrets", "items": [{"key": "wasm", "path": "api-key"}]}
    assert judge(INFERENCE, sandbox)[Item.SANDBOX_KEYS].passed


@pytest.mark.parametrize("name", ["xai-grok-4", "hf-model-7b"])
def test_a_models_name_is_not_taken_for_a_key(name: str) -> None:
    inference = live(build_stack(model={**KEYED, "name": name}, rlm={"allowedModels": [name]}))
    assert judge(inference, SANDBOX)[Item.LLM_KEYS].passed


def test_nothing_is_called_good_before_it_exists() -> None:
    absent = PlaneEvidence("sandbox", "demo-wasm")
    assert not [check for check in assess_pool(absent) if check.passed]
    checks = judge(INFERENCE, None)
    assert [item for item, check in checks.items() if check.passed] == [Item.LLM_KEYS]
    assert "SandboxPool does not exist" in checks[Item.WASM].message


def test_messages_fit_into_the_status_whatever_is_wrong() -> None:
    sandbox = copy.deepcopy(SANDBOX)
    template(sandbox)["containers"] += [{"name": f"{number}" * 60, "image": "x" * 900} for number in range(9)]
    for check in judge(INFERENCE, sandbox).values():
        assert len(check.message) <= 2048
    assert "more" in judge(INFERENCE, sandbox)[Item.DIGESTS].message


@PROPERTY
@given(stack=stacks)
def test_what_any_spec_renders_to_has_no_key_no_privilege_and_every_limit(stack: Stack) -> None:
    """The rest is the user's to choose: audit log, policies, images and the pool's Secret."""
    chosen = {Item.TRAFFIC, Item.AUDIT, Item.SANDBOX_KEYS}
    sandbox = live(build_pool(stack.pool_name))
    failed = [check for item, check in judge(live(stack), sandbox).items() if not check.passed and item not in chosen]
    assert failed == []


@PROPERTY
@given(pool=pools)
def test_what_any_pool_renders_to_passes_but_for_its_audit_log(pool: Resource) -> None:
    failed = [check for check in assess_pool(live(pool)) if not check.passed and check.item is not Item.AUDIT]
    assert failed == []
