"""The generated specs reach every field of both CRDs, so that no property test passes over a new one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

from rlm_operator.resource import Kind
from tests.operator.schema_specs import fields_of, parse, with_field
from tests.operator.specs import MODEL

SUB_MODEL = {"name": "small", "apiKeySecretRef": {"name": "small-key"}}
FINDING = settings(
    deadline=None,
    database=None,
    max_examples=100,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_of_the_crd_is_in_some_generated_spec(kind: Kind) -> None:
    base = {"model": MODEL, "subModel": SUB_MODEL} if kind is Kind.STACK else {}
    missed = []
    for path in fields_of(kind):
        if kind is Kind.STACK and path[0] == "sandbox":
            continue  # as of a pool
        grown = with_field(base, kind, path)
        try:
            find(grown, lambda spec: parse(kind, "demo", spec) is not None, settings=FINDING)
        except NoSuchExample:
            missed.append(".".join(path))
    assert missed == []
