"""Hypothesis strategies out of the CRDs' own schemas: any field that a CRD has is drawn, without being named here.

A spec begins as one of `specs.py` and gets further fields, each kept only if the typed spec takes it: what CEL forbids
between fields needs no description here. `tests/operator/test_schema_specs.py` shows that every field is reached.
"""

from __future__ import annotations

import copy
import functools
import re
from typing import Any, Final

from hypothesis import strategies as st

from rlm_operator.errors import SpecInvalidError
from rlm_operator.resource import Kind, Manifest, Resource, parse_resource
from tests.operator.crd import schema_of
from tests.operator.specs import API_VERSION, names, pool_specs, stack_specs

PLURALS: Final = {Kind.STACK: "rlmstacks", Kind.POOL: "sandboxpools"}
PRIORITY_CLASS: Final = "high"
RUNTIME_CLASS: Final = "gvisor"
"""Names of cluster objects, which a test can make."""
_FURTHER_FIELDS: Final = 8
_PATTERNS: Final[dict[str, st.SearchStrategy[Any]]] = {
    r"^([0-9]+(h|m|s|ms))+$": st.sampled_from(["1s", "30s", "15m", "1h", "8h", "24h"]),
    r"^[0-9]+(\.[0-9]{1,3})?(k|M|G|Ki|Mi|Gi)?$": st.sampled_from(["1Ki", "64Ki", "1Mi", "64Mi", "512Mi", "1Gi"]),
    r"^[0-9]+(\.[0-9]{1,9})?(m|k|M|G|Ki|Mi|Gi)?$": st.sampled_from(["250m", "0.5", "1", "2", "512Mi", "1Gi", "4Gi"]),
    r"^(100|[1-9]?[0-9])%$": st.sampled_from([1, 2, "10%", "50%"]),
    r"^[0-9a-fA-F.:]+/[0-9]{1,3}$": st.sampled_from(["203.0.113.0/24", "203.0.113.7/32", "2001:db8::/48"]),
    r"^https?://[^\s/?#@]+/?$": st.sampled_from(["http://proxy.example.com:3128", "http://collector:4318/"]),
    r"^https?://[^\s/?#@]+(/[^\s?#]*)?$": st.sampled_from(["https://llm.example.com/v1", "http://vllm:8000/v1"]),
}
"""Strings whose meaning a pattern does not tell."""
_FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "priorityClassName": st.just(PRIORITY_CLASS),
    "runtimeClassName": st.just(RUNTIME_CLASS),
    "replicas": st.integers(0, 5),
}
"""Fields that name something that must exist, or whose range is too wide to be of use."""
_KEYS: Final[dict[str, st.SearchStrategy[str]]] = {
    "labels": st.sampled_from(["user.rlm-operator.dev/team", "kueue.x-k8s.io/queue-name", "sidecar.istio.io/inject"]),
    "annotations": st.sampled_from(["user.rlm-operator.dev/note", "external-dns.alpha.kubernetes.io/hostname"]),
    "podTemplate.annotations": st.sampled_from(["prometheus.io/scrape", "karpenter.sh/do-not-disrupt"]),
}
"""Keys of maps, by the end of the map's path; others take any plain word."""
_WORDS: Final = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)


def properties_of(schema: Manifest, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all properties below a schema, those within lists and maps left out: they come with the whole."""
    found: list[tuple[str, ...]] = []
    for name, part in schema.get("properties", {}).items():
        found += [(*path, name), *properties_of(part, (*path, name))]
    return found


def values(schema: Manifest, path: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Anything that the schema allows, before CEL."""
    if path[-1] in _FIELDS:
        return _FIELDS[path[-1]]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("pattern") in _PATTERNS:
        return _PATTERNS[schema["pattern"]]
    match schema.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", 0), schema.get("maximum", 1000))
        case "number":
            return st.sampled_from([0.25, 1.5, 10])
        case "string":
            return _strings(schema)
        case "array":
            unique = schema.get("x-kubernetes-list-type") == "set"
            sizes = {"min_size": schema.get("minItems", 0), "max_size": max(schema.get("minItems", 0), 2)}
            return st.lists(values(schema["items"], path), unique_by=str if unique else None, **sizes)
        case "object":
            return _objects(schema, path)
        case other:
            raise AssertionError(f"no strategy for type {other} of {'.'.join(path)}")


@st.composite
def with_field(draw: st.DrawFn, spec: Manifest, kind: Kind, path: tuple[str, ...]) -> Manifest:
    """A copy of the spec with a value at this path; objects above it that are not there get what they require."""
    changed = copy.deepcopy(spec)
    parent = changed
    for depth in range(1, len(path)):
        name, needed = path[depth - 1], _schema_at(kind, path[:depth]).get("required", ())
        if name not in parent:
            parent[name] = {part: draw(_values_at(kind, (*path[:depth], part))) for part in needed}
        parent = parent[name]
    parent[path[-1]] = draw(_values_at(kind, path))
    return changed


@functools.cache
def fields_of(kind: Kind) -> list[tuple[str, ...]]:
    """Paths of all properties of a spec."""
    return properties_of(_schema_at(kind, ()))


@functools.cache
def _schema_at(kind: Kind, path: tuple[str, ...]) -> Manifest:
    if not path:
        schema: Manifest = schema_of(PLURALS[kind])["properties"]["spec"]
        return schema
    below: Manifest = _schema_at(kind, path[:-1])["properties"][path[-1]]
    return below


@functools.cache
def _values_at(kind: Kind, path: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return values(_schema_at(kind, path), path)


def parse(kind: Kind, name: str, spec: Manifest) -> Resource | None:
    """None where the typed spec refuses it."""
    metadata = {"name": name, "namespace": "team", "uid": "", "generation": 1}
    try:
        return parse_resource({"apiVersion": API_VERSION, "kind": str(kind), "metadata": metadata, "spec": spec})
    except SpecInvalidError:
        return None


@st.composite
def manifests(draw: st.DrawFn, kind: Kind) -> Manifest:
    """A custom resource with any fields of its CRD, valid by the typed spec."""
    bases = stack_specs() if kind is Kind.STACK else pool_specs
    name, spec = draw(names), draw(bases.filter(lambda base: parse(kind, "base", base) is not None))
    for path in draw(st.lists(st.sampled_from(fields_of(kind)), max_size=_FURTHER_FIELDS)):
        changed = draw(with_field(spec, kind, path))
        if parse(kind, name, changed) is not None:
            spec = changed
    metadata = {"name": name, "namespace": "team"}
    return {"apiVersion": API_VERSION, "kind": str(kind), "metadata": metadata, "spec": spec}


def _strings(schema: Manifest) -> st.SearchStrategy[str]:
    longest = min(schema.get("maxLength", 64), 128)
    if "pattern" not in schema:
        alphabet = st.characters(codec="ascii", categories=["Ll", "Nd"])
        return st.text(alphabet, min_size=schema.get("minLength", 0), max_size=longest)
    matching = st.from_regex(re.compile(schema["pattern"], re.ASCII), fullmatch=True)
    return matching.filter(lambda text: len(text) <= longest and "\n" not in text)


def _objects(schema: Manifest, path: tuple[str, ...]) -> st.SearchStrategy[Manifest]:
    if "additionalProperties" in schema:
        ends = (".".join(path[-2:]), path[-1])
        keys = next((_KEYS[end] for end in ends if end in _KEYS), _WORDS)
        return st.dictionaries(keys, values(schema["additionalProperties"], path), max_size=2)
    parts = {name: values(part, (*path, name)) for name, part in schema.get("properties", {}).items()}
    needed = {name: part for name, part in parts.items() if name in schema.get("required", ())}
    return st.fixed_dictionaries(needed, optional={name: parts[name] for name in parts if name not in needed})


stacks = manifests(Kind.STACK).map(parse_resource)
pools = manifests(Kind.POOL).map(parse_resource)
