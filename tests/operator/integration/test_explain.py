"""`kubectl explain` has a description of every field of both kinds, as the API server publishes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.operator.crd import schema_of, walk

KINDS = {"rlmstacks": "RLMStack", "sandboxpools": "SandboxPool"}
PUBLISHED = "/openapi/v3/apis/rlm-operator.dev/v1alpha1"
OF_EVERY_OBJECT = (".apiVersion", ".kind", ".metadata")


def published(installed: ControlPlane, kind: str) -> dict[str, Any]:
    """The schema that kubectl explain reads."""

    def schemas() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(installed.admin.run("get", "--raw", PUBLISHED))["components"]["schemas"]
        return {name: schema for name, schema in found.items() if name.endswith(f".{kind}")}

    eventually(lambda: bool(schemas()), f"{kind} being published")
    [schema] = schemas().values()
    assert isinstance(schema, dict)
    return schema


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, part in walk(schema):
        if path and not path.endswith(("[]", "{}")) and not path.startswith(OF_EVERY_OBJECT):
            yield path, part


@pytest.mark.parametrize("plural", KINDS)
def test_every_field_that_the_api_server_publishes_is_described(installed: ControlPlane, plural: str) -> None:
    described = {path: part.get("description", "") for path, part in fields(published(installed, KINDS[plural]))}
    assert [path for path, words in described.items() if len(words) < 5] == []
    assert described.keys() == {path for path, _ in fields(schema_of(plural))}


@pytest.mark.parametrize("plural", KINDS)
def test_kubectl_explains_every_field_of_a_level_with_its_words(installed: ControlPlane, plural: str) -> None:
    said = re.sub(r"\s+", " ", installed.admin.run("explain", f"{plural}.spec"))
    for name, part in schema_of(plural)["properties"]["spec"]["properties"].items():
        assert name in said
        assert " ".join(part["description"].split())[:60] in said


def test_a_field_deep_in_a_list_is_explained_by_its_path(installed: ControlPlane) -> None:
    said = installed.admin.run("explain", "rlmstack.spec.tools.functions.secretHeaders.secretKeyRef.key")
    assert "Entry of the Secret." in said
