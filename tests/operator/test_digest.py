"""Comparison of what is wanted with what is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_operator.digest import covers, differing_lists, digest
from tests.operator.specs import PROPERTY

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("wanted", "live", "covered"),
    [
        ({"a": 1}, {"a": 1, "added": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "default": 0}]}, True),
        ({"a": [], "b": {}}, {}, True),
        ({"a": []}, {"a": [1]}, False),
        ({"a": {"b": 1}}, {"a": None}, False),
    ],
    ids=["additions", "drift", "removal", "a longer list", "defaults in a list", "empties left out", "filled", "null"],
)
def test_wanted_is_covered_when_all_of_it_is_there(wanted: Any, live: Any, covered: bool) -> None:
    assert covers(wanted, live) is covered


@PROPERTY
@given(value=json_values)
def test_everything_covers_itself(value: Any) -> None:
    assert covers(value, value)


@PROPERTY
@given(parts=st.dictionaries(st.text(max_size=3), json_values, max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_fields(parts: dict[str, Any]) -> None:
    assert digest(parts) == digest(dict(reversed(parts.items())))


def test_a_digest_tells_values_apart() -> None:
    assert digest({"a": 1}) != digest({"a": "1"})


def test_only_lists_that_differ_are_put_back_and_at_their_place() -> None:
    wanted = {"spec": {"ports": [{"port": 80}], "rules": [1], "type": "ClusterIP"}, "other": {"same": [1]}}
    live = {"spec": {"ports": [{"port": 81}], "rules": [1], "type": "NodePort"}, "other": {"same": [1]}}
    assert differing_lists(wanted, live) == {"spec": {"ports": [{"port": 80}]}}
