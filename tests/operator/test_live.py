"""What is kept of objects that exist, and when a child needs no write."""

from __future__ import annotations

import pytest

from rlm_operator.inputs import LiveScale
from rlm_operator.kinds import Ref
from rlm_operator.live import Live, Owner, is_in_sync, is_older, observe
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from tests.operator.objects import deployment, stored
from tests.operator.specs import INPUTS, build_stack, one


@pytest.fixture
def wanted() -> Manifest:
    return one(render(build_stack(uid="u-1"), INPUTS), "ConfigMap")


def seen(wanted: Manifest, **changes: str) -> Live:
    """The ConfigMap as stored, with some of its data changed."""
    return observe(stored({**wanted, "data": {**wanted["data"], **changes}}))


def test_the_owner_is_the_custom_resource_that_controls(wanted: Manifest) -> None:
    assert observe(stored(wanted)).owner == Owner(Ref("RLMStack", "team", "demo"), "u-1")


def test_an_object_of_another_controller_has_no_owner_of_ours(wanted: Manifest) -> None:
    other = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "u-2", "controller": True}
    stranger = {**wanted, "metadata": {**wanted["metadata"], "ownerReferences": [other]}}
    assert observe(stored(stranger)).owner is None


def test_what_was_applied_and_not_touched_is_in_sync(wanted: Manifest) -> None:
    assert is_in_sync(wanted, seen(wanted), own_write=False)


def test_what_others_add_is_in_sync(wanted: Manifest) -> None:
    assert is_in_sync(wanted, seen(wanted, theirs="kept"), own_write=False)


def test_an_edited_field_is_not_in_sync(wanted: Manifest) -> None:
    assert not is_in_sync(wanted, seen(wanted, **{"max-iterations": "9"}), own_write=False)


def test_a_field_that_is_no_longer_wanted_is_not_in_sync_because_the_digest_differs(wanted: Manifest) -> None:
    [less] = [
        child
        for child in render(build_stack(uid="u-1", subModel={"name": "s"}), INPUTS)
        if child["kind"] == "ConfigMap"
    ]
    assert not is_in_sync(wanted, observe(stored(less)), own_write=False)


def test_what_the_server_rewrote_of_our_own_write_is_in_sync_until_somebody_else_writes(wanted: Manifest) -> None:
    rewritten = seen(wanted, **{"max-iterations": "30.0"})
    assert is_in_sync(wanted, rewritten, own_write=True)
    assert not is_in_sync(wanted, rewritten, own_write=False)


@pytest.mark.parametrize(
    ("managers", "elsewhere"),
    [
        ([], False),
        ([("rlm-operator", "")], False),
        ([("kube-controller-manager", "scale")], True),
        ([("rlm-operator", ""), ("kube-controller-manager", "scale")], False),
    ],
    ids=["nobody", "the operator", "an autoscaler", "both"],
)
def test_replicas_are_decided_elsewhere_once_somebody_else_alone_holds_them(
    managers: list[tuple[str, str]], elsewhere: bool
) -> None:
    assert deployment(4, managers=managers).scale == LiveScale(4, elsewhere)


@pytest.mark.parametrize(("managers", "elsewhere"), [([], True), ([("rlm-operator", "")], False)])
def test_a_zero_that_nobody_holds_was_written_by_somebody_else(
    managers: list[tuple[str, str]], elsewhere: bool
) -> None:
    """The API server notes no holder for a 0 that came through the scale subresource."""
    assert deployment(0, managers=managers).scale == LiveScale(0, elsewhere)


@pytest.mark.parametrize(("version", "than", "older"), [("9", "10", True), ("10", "9", False), ("x", "10", False)])
def test_versions_compare_as_numbers_and_unknown_forms_are_news(version: str, than: str, older: bool) -> None:
    assert is_older(version, than) is older
