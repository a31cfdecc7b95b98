"""The CRDs and the typed specs say the same; and the schema is complete: described, bounded, with useful messages."""

from __future__ import annotations

from types import NoneType
from typing import Any, get_args

import pytest
from hypothesis import given
from pydantic import BaseModel, ValidationError

from rlm_operator.resource import Manifest
from rlm_operator.spec.pool import SandboxPoolSpec
from rlm_operator.spec.stack import RLMStackSpec
from tests.operator.crd import fill_defaults, load_crd, schema_of, walk
from tests.operator.specs import MODEL, PROPERTY, pool_specs, stack_specs

PLURALS = ["rlmstacks", "sandboxpools"]
SPECS: list[tuple[str, type[BaseModel]]] = [("rlmstacks", RLMStackSpec), ("sandboxpools", SandboxPoolSpec)]


def spec_schema(plural: str) -> Manifest:
    schema: Manifest = schema_of(plural)["properties"]["spec"]
    return schema


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models of `X`, `X | None`, `list[X]`, `tuple[X, ...]` and of Annotated ones."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    parts = [part for part in get_args(annotation) if part is not NoneType]
    return [model for part in parts for model in models_in(part)]


def shape_of_model(model: type[BaseModel]) -> Manifest:
    shape: Manifest = {}
    for name, field in model.model_fields.items():
        below = models_in(field.annotation)
        shape[field.alias or name] = shape_of_model(below[0]) if below else None
    return shape


def shape_of_schema(schema: Manifest) -> Manifest:
    shape: Manifest = {}
    for name, part in schema["properties"].items():
        inner = part.get("items") or part.get("additionalProperties") or part
        shape[name] = shape_of_schema(inner) if "properties" in inner else None
    return shape


@pytest.mark.parametrize(("plural", "model"), SPECS)
def test_crd_and_typed_spec_have_the_same_fields(plural: str, model: type[BaseModel]) -> None:
    assert shape_of_schema(spec_schema(plural)) == shape_of_model(model)


@PROPERTY
@given(spec=stack_specs())
def test_a_stack_parses_alike_with_and_without_the_api_servers_defaults(spec: Manifest) -> None:
    stored = fill_defaults(spec, spec_schema("rlmstacks"))
    assert RLMStackSpec.model_validate(stored) == RLMStackSpec.model_validate(spec)


@PROPERTY
@given(spec=pool_specs)
def test_a_pool_parses_alike_with_and_without_the_api_servers_defaults(spec: Manifest) -> None:
    stored = fill_defaults(spec, spec_schema("sandboxpools"))
    assert SandboxPoolSpec.model_validate(stored) == SandboxPoolSpec.model_validate(spec)


SETS = [
    (plural, path.split(".")[1:])
    for plural in PLURALS
    for path, part in walk(spec_schema(plural))
    if part.get("x-kubernetes-list-type") == "set"
]


@pytest.mark.parametrize(
    ("plural", "path"), SETS, ids=lambda value: value if isinstance(value, str) else ".".join(value)
)
def test_a_list_that_is_a_set_in_the_crd_is_refused_with_a_value_twice(plural: str, path: list[str]) -> None:
    def refused(*values: str) -> bool:
        part: Any = list(values)
        for name in reversed(path):
            part = {name: part}
        try:
            dict(SPECS)[plural].model_validate({**({"model": MODEL} if plural == "rlmstacks" else {}), **part})
        except ValidationError as error:
            return "'one' is in this list twice: remove one of them" in str(error)
        return False

    assert not refused("one", "two")
    assert refused("one", "two", "one")


def test_the_inline_sandbox_has_the_schema_and_rules_of_a_pool() -> None:
    inline, pool = spec_schema("rlmstacks")["properties"]["sandbox"], spec_schema("sandboxpools")
    for part in ("properties", "x-kubernetes-validations"):
        assert inline[part] == pool[part]


@pytest.mark.parametrize("plural", PLURALS)
def test_every_field_is_described(plural: str) -> None:
    skipped = ("", ".metadata")
    nameless = [
        path
        for path, part in walk(schema_of(plural))
        if path not in skipped and not path.endswith(("[]", "{}")) and not part.get("description")
    ]
    assert nameless == []


@pytest.mark.parametrize("plural", PLURALS)
def test_every_list_string_map_and_number_of_the_spec_is_bounded(plural: str) -> None:
    needed = {"array": "maxItems", "string": "maxLength", "integer": "maximum"}
    unbounded = [
        path
        for path, part in walk(spec_schema(plural), ".spec")
        if needed.get(part.get("type", "")) not in {None, *part} and "enum" not in part
    ]
    unbounded += [
        path
        for path, part in walk(spec_schema(plural), ".spec")
        if "additionalProperties" in part and "maxProperties" not in part
    ]
    assert unbounded == []


@pytest.mark.parametrize("plural", PLURALS)
def test_every_rule_says_what_to_do(plural: str) -> None:
    rules = [rule for _, part in walk(schema_of(plural)) for rule in part.get("x-kubernetes-validations", [])]
    assert len(rules) > 5
    assert [rule["rule"] for rule in rules if len(rule.get("message", "")) < 40] == []


@pytest.mark.parametrize(
    ("plural", "path"), [("rlmstacks", ".spec.inference.replicas"), ("sandboxpools", ".spec.replicas")]
)
def test_scale_answers_because_replicas_always_has_a_value(plural: str, path: str) -> None:
    scale = load_crd(plural)["spec"]["versions"][0]["subresources"]["scale"]
    assert scale["specReplicasPath"] == path
    spec = fill_defaults({"spec": {"model": {}}} if plural == "rlmstacks" else {}, schema_of(plural))
    for name in path.removeprefix(".").split("."):
        spec = spec[name]
    assert spec == 3


def test_short_names_and_categories_do_not_collide() -> None:
    """A category of a short name's spelling would shadow it: `kubectl get rlm demo` would be refused."""
    names = [load_crd(plural)["spec"]["names"] for plural in PLURALS]
    short = {name for entry in names for name in entry["shortNames"]}
    assert short == {"rlm", "sbp"}
    assert not short & {category for entry in names for category in entry["categories"]}
