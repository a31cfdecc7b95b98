"""Programs of other people judge the rendered samples: kubeconform by the API server's schemas, kube-score by habit."""

from __future__ import annotations

import copy
import functools
import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.controlplane.binaries import build, find
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.controlplane.programs import KUBE_SCORE, KUBECONFORM
from tests.operator.integration.samples import REPOSITORY

GOLDEN: Final = REPOSITORY / "tests" / "operator" / "golden"
EXCEPTIONS: Final = GOLDEN / "kube-score-exceptions.yaml"
RENDERED: Final = sorted({*GOLDEN.rglob("*.yaml")} - {EXCEPTIONS})
TODAY: Final = [path for path in RENDERED if path.parent == GOLDEN]
FINE: Final = 10
"""kube-score's grade for what it has nothing against."""


@pytest.fixture(scope="module")
def schemas(installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON schema for each kind that the API server has, ours among them."""
    install_crds(installed.admin, "keda")
    document = eventually(lambda: published(installed), "the schema of a ScaledObject")
    remove_crds(installed.admin, "keda")
    assert document is not None
    folder = tmp_path_factory.mktemp("schemas")
    definitions = {name: strict(schema) for name, schema in document["definitions"].items()}
    rendered = {document["kind"] for path in RENDERED for document in read(path)}
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            if kind["kind"] not in rendered:
                continue
            # As kubeconform's KindSuffix: the first label of the group.
            group = f"{kind['group'].partition('.')[0]}-" if kind["group"] else ""
            file = folder / f"{kind['kind']}-{group}{kind['version']}.json".lower()
            whole = {"$ref": f"#/definitions/{name}", "definitions": reachable(name, definitions)}
            file.write_text(json.dumps(whole))
    return folder


def published(plane: ControlPlane) -> Object | None:
    """What the API server says of its kinds, once those of KEDA are among them."""
    document: Object = json.loads(plane.admin.run("get", "--raw", "/openapi/v2"))
    return document if any(name.endswith(".ScaledObject") for name in document["definitions"]) else None


@functools.cache
def read(path: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def strict(schema: Object) -> Object:
    """Without unknown fields, and with numbers where a number or a text may stand."""
    changed = copy.deepcopy(schema)

    def visit(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("format") == "int-or-string":
                part.pop("format")
                part["type"] = ["string", "integer"]
            if isinstance(part.get("properties"), dict) and not part.get("x-kubernetes-preserve-unknown-fields"):
                part.setdefault("additionalProperties", False)
            part = list(part.values())
        if isinstance(part, list):
            for below in part:
                visit(below)

    visit(changed)
    return changed


def reachable(name: str, definitions: dict[str, Object]) -> dict[str, Object]:
    found: dict[str, Object] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = definitions[current]
            text = json.dumps(definitions[current])
            waiting += [part.split('"', 1)[0] for part in text.split('"#/definitions/')[1:]]
    return found


def conform(schemas: Path, file: Path) -> subprocess.CompletedProcess[str]:
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    program = find(KUBECONFORM) or build(KUBECONFORM)
    command = [str(program), "-summary", "-schema-location", location, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("rendered", RENDERED, ids=lambda path: str(path.relative_to(GOLDEN)))
def test_rendered_manifests_conform_to_the_api_servers_schemas(schemas: Path, rendered: Path) -> None:
    done = conform(schemas, rendered)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(read(rendered))} resources" in done.stdout


def test_a_field_that_no_schema_has_is_found(schemas: Path, tmp_path: Path) -> None:
    [deployment, *_] = [document for document in read(TODAY[0]) if document["kind"] == "Deployment"]
    deployment["spec"]["template"]["spec"]["hostNetworks"] = True
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(deployment))
    assert "hostNetworks" in conform(schemas, wrong).stdout


def test_kube_score_objects_to_nothing_but_the_exceptions_which_are_all_needed() -> None:
    reasons = yaml.safe_load(EXCEPTIONS.read_text())
    program = find(KUBE_SCORE) or build(KUBE_SCORE)
    objections: dict[str, str] = {}
    for path in TODAY:
        command = [str(program), "score", "--output-format", "json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        for scored in json.loads(done.stdout):
            for check in scored["checks"]:
                if not check["skipped"] and check["grade"] < FINE:
                    objections[check["check"]["id"]] = f"{path.name}: {scored['object_name']}: {check['comments']}"
    assert {name: words for name, words in objections.items() if name not in reasons} == {}
    assert set(reasons) - set(objections) == set()
    assert all(reasons.values())
