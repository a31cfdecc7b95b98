"""The generated specs reach every field of both CRDs, so that no property test passes over a new one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample, Unsatisfiable

from rlm_operator.resource import Kind, Manifest
from tests.operator.schema_specs import fields_of, parse, with_field
from tests.operator.specs import MODEL

PRICE = {"input": 1.25, "output": 10}
SUB_MODEL = {"name": "small", "apiKeySecretRef": {"name": "small-key"}}
BASES: dict[Kind, list[Manifest]] = {
    Kind.POOL: [{}, {"tls": {"mode": "CertManager", "issuerRef": {"name": "ca"}}}],
    Kind.STACK: [
        {"model": MODEL},
        {"model": MODEL, "subModel": SUB_MODEL},
        {"model": {**MODEL, "price": PRICE}, "subModel": {**SUB_MODEL, "price": PRICE}},
        {"model": MODEL, "storage": {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "runs"}}},
        {"model": MODEL, "storage": {"type": "ObjectStore", "objectStore": {"url": "s3://runs/demo"}}},
    ],
}
"""Specs with what some fields need beside them."""
FINDING = settings(
    deadline=None,
    database=None,
    max_examples=100,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_of_the_crd_is_in_some_generated_spec(kind: Kind) -> None:
    missed = []
    for path in fields_of(kind):
        if kind is Kind.STACK and path[0] == "sandbox":
            continue  # as of a pool
        if not any(is_found(base, kind, path) for base in BASES[kind]):
            missed.append(".".join(path))
    assert missed == []


def is_found(base: Manifest, kind: Kind, path: tuple[str, ...]) -> bool:
    try:
        find(with_field(base, kind, path), lambda spec: parse(kind, "demo", spec) is not None, settings=FINDING)
    except (NoSuchExample, Unsatisfiable):
        return False
    return True
