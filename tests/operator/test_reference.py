"""docs/api.md is what the CRDs say now. After a change that is meant: `make reference`."""

from __future__ import annotations

from tests.operator.crd import schema_of, walk
from tests.operator.reference import REFERENCE, build_reference


def test_the_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text() == build_reference()


def test_the_reference_has_every_field_of_a_stack_but_those_of_its_pool() -> None:
    text = REFERENCE.read_text()
    paths = {path for path, _ in walk(schema_of("rlmstacks")) if path.startswith((".spec.", ".status."))}
    named = {path for path in paths if not path.endswith(("[]", "{}")) and not path.startswith(".spec.sandbox.")}
    assert {path for path in named if f"`{path}`" not in text} == set()
