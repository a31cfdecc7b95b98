"""`rlmctl render` prints what the operator applies: field by field, by what the API server says the operator owns.

Server-side apply records which fields a manager wrote. `applied_by_operator` cuts a live object down to those fields;
what is left is what the operator sent, in the form that the API server stores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.kubectl import Object
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.operator.integration.samples import SAMPLES
from tests.operator.integration.tenant import Child, Tenant

FIELD_MANAGER = "rlm-operator"
POOL_ELSEWHERE = "shared-pool-elsewhere.yaml"
SAMPLE_NAMES = sorted(path.name for path in SAMPLES.glob("*.yaml"))


def render(path: str, namespace: str, *options: str) -> list[Object]:
    command = [sys.executable, "-m", "rlmctl", "render", "-f", path, "--namespace", namespace, *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [document for document in yaml.safe_load_all(printed) if document]


@pytest.fixture(scope="module", autouse=True)
def keda(installed: ControlPlane) -> Iterator[None]:
    """A file is rendered for a cluster that has what it asks for."""
    install_crds(installed.admin, "keda")
    yield
    remove_crds(installed.admin, "keda")


@pytest.mark.parametrize("sample", SAMPLE_NAMES)
def test_what_is_rendered_is_what_the_operator_applies(tenant: Tenant, sample: str) -> None:
    tenant.create_secret("llm-secrets", api_key="sk-test")
    rendered = {identify(manifest): manifest for manifest in render(str(SAMPLES / sample), tenant.namespace)}
    if sample == POOL_ELSEWHERE:
        # Issued by a pool, which is not there.
        del rendered["Secret", "reports-rlm-sandbox-tls"]
    tenant.apply_file(SAMPLES / sample)
    optional = {child for child in rendered if child[0] == "ScaledObject"}
    live = tenant.expect_children(set(rendered) - optional)
    live |= {child: tenant.expect("scaledobject", child[1]) for child in optional}
    for child, manifest in rendered.items():
        wanted = without_queue_length(without_services(manifest))
        found, expected = applied_by_operator(live[child]), without_bookkeeping(wanted)
        if wanted is not manifest:
            for compared in (found, expected):
                del compared["metadata"]["annotations"]
        assert found == expected, child


@pytest.mark.parametrize("sample", SAMPLE_NAMES)
def test_what_is_rendered_is_accepted_by_the_api_server(tenant: Tenant, sample: str) -> None:
    rendered = render(str(SAMPLES / sample), tenant.namespace)
    tenant.kubectl.apply(rendered, "--dry-run=server")


def without_services(manifest: Object) -> Object:
    """A file opens the namespace of a Service that it can not look at; the operator knows that there is none here.

    The digest is of the whole, so for such a policy it is not compared.
    """
    if manifest["kind"] != "NetworkPolicy":
        return manifest
    kept = [rule for rule in manifest["spec"]["egress"] if rule.get("ports") != [{"protocol": "TCP"}]]
    if kept == manifest["spec"]["egress"]:
        return manifest
    return {**manifest, "spec": {**manifest["spec"], "egress": kept}}


def without_queue_length(manifest: Object) -> Object:
    """The custom metrics API can not be had by a CRD, so the operator leaves its metric out here."""
    if manifest["kind"] != "HorizontalPodAutoscaler":
        return manifest
    kept = [metric for metric in manifest["spec"]["metrics"] if metric["type"] != "Pods"]
    if kept == manifest["spec"]["metrics"]:
        return manifest
    return {**manifest, "spec": {**manifest["spec"], "metrics": kept}}


def identify(manifest: Object) -> Child:
    return manifest["kind"], manifest["metadata"]["name"]


def without_bookkeeping(manifest: Object) -> Object:
    """A rendered manifest as `applied_by_operator` would give it back: identity is not a field that anyone owns."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in {"name", "namespace"}}
    rest = {key: value for key, value in manifest.items() if key not in {"apiVersion", "kind", "metadata"}}
    return _object({**rest, "metadata": metadata})


def applied_by_operator(live: Object) -> Object:
    """The fields of a live object that the operator's field manager owns; owner references and keys are left out.

    They are the two things that a rendered file cannot have: the uid of an object that no API server has seen, and
    random data.
    """
    entries = [entry for entry in live["metadata"]["managedFields"] if entry["manager"] == FIELD_MANAGER]
    [owned] = [entry["fieldsV1"] for entry in entries if "subresource" not in entry]
    cut: Object = extract(live, owned)
    cut["metadata"].pop("ownerReferences", None)
    if live["kind"] == "Secret":
        cut.pop("data", None)
    return _object(cut)


def extract(value: Any, owned: dict[str, Any]) -> Any:
    """The part of `value` that a fieldsV1 tree names: `f:NAME` a field, `k:{…}` an item by key, `v:…` one of a set."""
    if not owned:
        return value
    if isinstance(value, list):
        return [item for part in owned if part != "." for item in extract_items(value, part, owned[part])]
    names = [part[2:] for part in owned if part.startswith("f:")]
    return {name: extract(value.get(name), owned[f"f:{name}"]) for name in names}


def extract_items(items: list[Any], part: str, owned: dict[str, Any]) -> list[Any]:
    wanted = json.loads(part[2:])
    if part.startswith("v:"):
        return [item for item in items if item == wanted]
    return [extract(item, owned) for item in items if all(item.get(key) == value for key, value in wanted.items())]


def _object(value: Object) -> Object:
    kept: Object = normalised(value)
    return kept


def normalised(value: Any) -> Any:
    """Equal for values that the API server treats as equal: without empty containers, with lists in a fixed order."""
    if isinstance(value, dict):
        parts = {key: normalised(part) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part not in ({}, [], None)}
    if isinstance(value, list):
        return sorted((normalised(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value
