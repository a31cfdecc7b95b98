"""Callers of a pool: who may use it, and how the entries of its key Secret follow."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from rlm_operator.resource import Manifest
from rlm_operator.trust.callers import find_callers, find_strangers, is_usable_key, plan_entries
from tests.operator.objects import custom_resource
from tests.operator.specs import build_pool


def stack(name: str, namespace: str = "team", **metadata: Any) -> Manifest:
    found = custom_resource("RLMStack", name)
    found["metadata"].update(namespace=namespace, **metadata)
    return found


def entries(pool_allows: list[str], *stacks: Manifest) -> list[str]:
    return [caller.entry for caller in find_callers(build_pool(allowedNamespaces=pool_allows), stacks)]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_each_stack_of_the_pools_namespace_has_an_entry_of_its_own() -> None:
    assert entries([], stack("a"), stack("b")) == ["rlmstack.team.a", "rlmstack.team.b"]


def test_stacks_of_other_namespaces_are_callers_only_when_the_pool_allows_them() -> None:
    stacks = stack("a", "research"), stack("a", "stranger")
    assert entries(["research"], *stacks) == ["rlmstack.research.a"]
    assert entries([], *stacks) == []


def test_a_stack_that_is_being_deleted_is_no_caller() -> None:
    assert entries([], stack("a", deletionTimestamp="2030-01-01T00:00:00Z")) == []


def test_entries_of_stacks_that_went_are_strangers_and_those_of_users_never() -> None:
    callers = find_callers(build_pool(), [stack("a")])
    found = find_strangers(["api-key", "notebook", "team.b", "rlmstack.team.a", "rlmstack.team.b"], callers)
    assert found == ["rlmstack.team.b"]


def test_only_entries_that_differ_are_written() -> None:
    before = {"api-key": "x", "rlmstack.team.a": "1", "rlmstack.team.b": "2", "rlmstack.team.gone": "3"}
    granted = {"rlmstack.team.a": "1", "rlmstack.team.b": "9", "rlmstack.team.gone": None, "rlmstack.team.new": None}
    assert plan_entries(before, granted) == {"rlmstack.team.b": "9", "rlmstack.team.gone": None}


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("k" * 16, True),
        ("k" * 43 + "\n", True),
        ("k" * 15, False),
        ("k" * 513, False),
        ("k" * 20 + " " + "k" * 20, False),
        ("k" * 20 + "\u00e9", False),
    ],
    ids=["shortest", "with newline", "short", "long", "blank", "not ASCII"],
)
def test_what_a_tenant_writes_into_their_key_must_be_a_bearer_key(text: str, usable: bool) -> None:
    assert is_usable_key(encoded(text)) is usable


def test_what_is_no_base64_is_no_key() -> None:
    assert not is_usable_key("***")
    assert not is_usable_key(None)
