"""SandboxPoolReady of stacks that refer to a pool of another namespace."""

from __future__ import annotations

from rlm_operator.conditions import Condition, Reason
from rlm_operator.pool_gate import pool_condition
from rlm_operator.resource import Manifest
from tests.operator.objects import custom_resource
from tests.operator.specs import build_stack

STACK = build_stack(sandboxPoolRef={"name": "shared", "namespace": "platform"})
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def pool(*allowed: str) -> Manifest:
    found = custom_resource("SandboxPool", "shared", status=READY)
    return {**found, "spec": {"allowedNamespaces": list(allowed)}}


def refusal(found: Condition, reason: Reason) -> str:
    assert (found.holds, found.reason) == (False, reason)
    return found.message


def test_a_pool_that_allows_the_namespace_is_as_good_as_ones_own() -> None:
    assert pool_condition(STACK, pool("team"), ()).reason is Reason.POOL_READY


def test_a_pool_that_does_not_allow_the_namespace_is_refused_in_words_that_say_what_to_do() -> None:
    message = refusal(pool_condition(STACK, pool("research"), ()), Reason.POOL_NOT_ALLOWED)
    assert 'have its owner add "team" to the pool\'s allowedNamespaces' in message


def test_whether_a_pool_of_another_namespace_exists_is_not_told_to_who_may_not_use_it() -> None:
    assert pool_condition(STACK, pool(), ()) == pool_condition(STACK, None, ())


def test_a_namespace_that_the_operator_does_not_serve_is_named() -> None:
    message = refusal(pool_condition(STACK, None, ("team", "other")), Reason.POOL_NAMESPACE_NOT_SERVED)
    assert 'Namespace "platform"' in message
    assert "use a pool of team, other" in message
    assert pool_condition(STACK, pool("team"), ("team", "platform")).holds
