"""ConfigMaps with authorities: which a stack needs, and in which words it is said that one is not as it should be."""

from __future__ import annotations

import pytest

from rlm_operator.bundle_look import BundleNeed, bundle_needs, find_problem
from rlm_operator.conditions import Reason
from rlm_operator.resource import Manifest
from tests.operator.specs import MODEL, build_pool, build_stack

NEED = BundleNeed("corp-ca", "ca.crt", "spec.model.caBundleRef")


def test_each_model_of_a_stack_may_have_a_bundle_of_its_own() -> None:
    model = {**MODEL, "caBundleRef": {"name": "corp-ca"}}
    stack = build_stack(model=model, subModel={"name": "small", "caBundleRef": {"name": "other", "key": "root.pem"}})
    assert bundle_needs(stack) == [NEED, BundleNeed("other", "root.pem", "spec.subModel.caBundleRef")]
    assert bundle_needs(build_stack()) == bundle_needs(build_pool()) == []


@pytest.mark.parametrize("entries", [{"data": {"ca.crt": "PEM"}}, {"binaryData": {"ca.crt": "UEVN"}}])
def test_a_bundle_with_the_entry_is_fine(entries: Manifest) -> None:
    assert find_problem(NEED, entries, "team") is None


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (None, Reason.CONFIG_MAP_MISSING, "kubectl create configmap corp-ca -n team --from-file=ca.crt=FILE"),
        ({}, Reason.CONFIG_MAP_KEY_MISSING, "spec.model.caBundleRef.key"),
        ({"data": {"root.pem": "PEM"}}, Reason.CONFIG_MAP_KEY_MISSING, 'no entry "ca.crt"'),
        ({"data": {"ca.crt": ""}}, Reason.CONFIG_MAP_KEY_MISSING, "or an empty one"),
    ],
    ids=["missing", "without data", "another entry", "empty"],
)
def test_what_is_wrong_is_said_with_what_to_do(found: Manifest | None, reason: Reason, words: str) -> None:
    problem = find_problem(NEED, found, "team")
    assert problem is not None
    assert problem[0] is reason
    assert words in problem[1]
