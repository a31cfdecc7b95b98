"""The CRDs as the tests read them: schemas by path, and the defaults that an API server fills in."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import yaml

from rlm_operator.resource import Manifest
from tests.operator.specs import CRDS


@functools.cache  # parsing takes seconds; nobody changes what is returned
def load_crd(plural: str) -> Manifest:
    crd: Manifest = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    return crd


def schema_of(plural: str) -> Manifest:
    schema: Manifest = load_crd(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Manifest, path: str = "") -> Iterator[tuple[str, Manifest]]:
    """Every schema below, with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def fill_defaults(value: Any, schema: Manifest) -> Any:
    """As the API server does when it stores an object."""
    if isinstance(value, dict):
        filled = dict(value)
        for name, part in schema.get("properties", {}).items():
            if name not in filled and "default" in part:
                filled[name] = copy.deepcopy(part["default"])
            if name in filled:
                filled[name] = fill_defaults(filled[name], part)
        if "additionalProperties" in schema:
            return {name: fill_defaults(part, schema["additionalProperties"]) for name, part in filled.items()}
        return filled
    if isinstance(value, list):
        return [fill_defaults(item, schema.get("items", {})) for item in value]
    return value
