"""Secrets: which ones a resource needs, and what is said when one is not as it should be."""

from __future__ import annotations

import base64

import pytest

from rlm_operator.bounds import Bounds
from rlm_operator.conditions import Reason
from rlm_operator.names import API_VERSION
from rlm_operator.objects.secret import build_filled_secret, generated_keys
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from rlm_operator.secret_needs import SecretNeed, find_problem, secret_needs
from tests.operator.setting_rules import ACCEPTED, tools
from tests.operator.specs import INPUTS, build_pool, build_stack, one

NEED = SecretNeed("llm-secrets", "api-key", "API key of the root model")


def secret(**entries: str) -> Manifest:
    encoded = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    return {"kind": "Secret", "metadata": {"name": "llm-secrets"}, "data": encoded}


def test_a_stack_needs_its_users_its_models_and_its_pools_keys() -> None:
    stack = build_stack(
        model={"name": "m", "baseURL": "https://a.test", "apiKeySecretRef": {"name": "llm", "key": "token"}},
        subModel={"name": "s", "apiKeySecretRef": {"name": "sub"}},
        inference={"auth": {"secretRef": {"name": "users"}}},
        sandbox={"auth": {"secretRef": {"name": "wasm-secrets"}}},
    )
    needs = secret_needs(stack, "wasm-secrets")
    assert [(need.name, need.key) for need in needs] == [
        ("users", None),
        ("llm", "token"),
        ("sub", "api-key"),
        ("wasm-secrets", "api-key"),
    ]
    assert not any(need.made_by_operator for need in needs)


def test_secrets_that_the_operator_makes_are_marked_so() -> None:
    needs = secret_needs(build_stack(), "demo-rlm-sandbox-key")
    assert [need.name for need in needs if need.made_by_operator] == ["demo-rlm-keys", "demo-rlm-sandbox-key"]
    [need] = secret_needs(build_pool("shared"), "")
    assert need.made_by_operator


def test_an_open_endpoint_needs_no_user_keys() -> None:
    needs = secret_needs(build_stack(inference={"auth": {"mode": "Disabled"}}), "demo-rlm-sandbox-key")
    assert [need.name for need in needs] == ["demo-rlm-sandbox-key"]


def test_the_secret_header_of_a_tool_is_needed_and_told_by_the_tools_name() -> None:
    headers = {"authorization": {"secretKeyRef": {"name": "orders", "key": "token"}}}
    needs = secret_needs(build_stack(**tools(secretHeaders=headers)), "demo-wasm-keys")
    assert SecretNeed("orders", "token", "header authorization of the tool find_order") in needs


def test_the_credentials_of_the_object_store_are_needed() -> None:
    needs = secret_needs(build_stack(**ACCEPTED["a bucket"]), "demo-wasm-keys")
    assert SecretNeed("s3", None, "credentials of the object store") in needs


def test_a_missing_secret_is_told_with_the_command_that_makes_it() -> None:
    problem = find_problem(NEED, None, "team")
    assert problem is not None
    assert problem.reason is Reason.SECRET_MISSING
    assert "kubectl create secret generic llm-secrets -n team --from-literal=api-key=" in problem.message


def test_a_secret_that_the_operator_makes_is_no_problem_of_the_users() -> None:
    assert find_problem(SecretNeed("demo-rlm-keys", "api-key", "keys", made_by_operator=True), None, "team") is None


@pytest.mark.parametrize("found", [secret(other="x"), secret(api_key=""), secret(api_key=" \n"), {"data": None}])
def test_an_entry_that_is_missing_or_empty_is_named(found: Manifest) -> None:
    problem = find_problem(NEED, found, "team")
    assert problem is not None
    assert problem.reason is Reason.SECRET_KEY_MISSING
    assert '"api-key"' in problem.message


def test_a_filled_entry_is_fine() -> None:
    assert find_problem(NEED, secret(api_key="sk"), "team") is None
    assert find_problem(SecretNeed("llm-secrets", None, "keys"), secret(alice="a"), "team") is None


LABELLED = Bounds(secret_label="rlm-operator.dev/usable=yes")


@pytest.mark.parametrize(
    ("labels", "is_allowed"),
    [({}, False), ({"rlm-operator.dev/usable": "no"}, False), ({"rlm-operator.dev/usable": "yes"}, True)],
)
def test_with_an_opt_in_label_only_secrets_that_carry_it_are_fine(labels: dict[str, str], is_allowed: bool) -> None:
    found = secret(api_key="sk")
    found["metadata"]["labels"] = labels
    problem = find_problem(NEED, found, "team", LABELLED)
    assert (problem is None) == is_allowed
    assert problem is None or problem.reason is Reason.SECRET_NOT_ALLOWED
    assert problem is None or "kubectl label secret llm-secrets -n team rlm-operator.dev/usable=yes" in problem.message


def test_a_secret_that_the_operator_made_needs_no_label_but_one_of_its_name_does() -> None:
    need = SecretNeed("demo-wasm-keys", "api-key", "keys", made_by_operator=True)
    found = secret(api_key="k")
    assert find_problem(need, found, "team", LABELLED) is not None
    owner = {"apiVersion": API_VERSION, "kind": "SandboxPool", "name": "demo", "uid": "u", "controller": True}
    found["metadata"]["ownerReferences"] = [owner]
    assert find_problem(need, found, "team", LABELLED) is None


def test_no_value_of_a_secret_is_in_a_message() -> None:
    problem = find_problem(NEED, secret(other="hunter2"), "team")
    assert problem is not None
    assert "hunter2" not in problem.message


def test_a_generated_secret_names_the_entries_to_fill_and_only_it_does() -> None:
    children = render(build_stack(), INPUTS)
    assert {child["kind"]: generated_keys(child) for child in children if generated_keys(child)} == {
        "Secret": ["api-key"]
    }
    filled = build_filled_secret(one(children, "Secret", "demo-rlm-keys"), {"api-key": "k"})
    assert base64.b64decode(filled["data"]["api-key"]) == b"k"
