"""Upgrades: from each earlier rendering the operator of today changes what the renderings differ in, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.earlier import IMAGES, VERSIONS, apply_as_operator, read_earlier
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import REPOSITORY, SAMPLES
from tests.operator.integration.tenant import Child, Tenant
from tests.operator.integration.test_render import applied_by_operator, without_bookkeeping

GOLDEN = REPOSITORY / "tests" / "operator" / "golden"
BY_THE_CLUSTER: set[Child] = {("NetworkPolicy", "in-house-rlm")}
"""Rendered by what a cluster alone knows: this model's Service does not exist here, so nothing is opened for it."""


@pytest.fixture
def stopped(tenant: Tenant, operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator, for a test that starts it as another version."""
    operator.stop()
    yield operator
    operator.restart()


def rendered_now(sample: str, namespace: str) -> dict[Child, Object]:
    text = (GOLDEN / sample).read_text()
    moved = text.replace("namespace: team\n", f"namespace: {namespace}\n").replace(".team.svc", f".{namespace}.svc")
    manifests = [document for document in yaml.safe_load_all(moved) if document]
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}


@pytest.mark.parametrize("sample", ["quickstart.yaml", "shared-pool.yaml"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_upgrade_changes_only_what_the_renderings_differ_in(
    tenant: Tenant, stopped: OperatorProcess, version: str, sample: str
) -> None:
    tenant.create_secret("llm-secrets", api_key="sk-test")
    tenant.apply_file(SAMPLES / sample)
    earlier = {
        (manifest["kind"], manifest["metadata"]["name"]): manifest
        for manifest in read_earlier(version, sample, tenant.namespace)
    }
    before = apply_as_operator(tenant, list(earlier.values()))
    assert set(before) == set(earlier)
    now = rendered_now(sample, tenant.namespace)
    stopped.start(**IMAGES)

    differing: dict[Child, object] = {}

    def is_upgraded() -> bool:
        live = tenant.children()
        differing.clear()
        differing.update(dict.fromkeys(set(live) ^ set(now), "missing or left over"))
        for child in set(live) & set(now):
            if child[0] != "Secret" and child not in BY_THE_CLUSTER and plain(live[child]) != wanted(now[child]):
                differing[child] = (plain(live[child]), wanted(now[child]))
        return not differing

    try:
        eventually(is_upgraded, "the objects of today")
    except AssertionError as error:
        raise AssertionError(f"{error}: {differing}") from error
    after = tenant.children()
    for child in set(before) & set(after):
        assert after[child]["metadata"]["uid"] == before[child]["metadata"]["uid"], child
        if child[0] == "Secret":
            assert before[child]["data"].items() <= after[child]["data"].items(), "a key was rotated"
        elif wanted(now[child]) == wanted(earlier[child]) and child[0] != "SandboxPool":
            assert generation(after[child]) == generation(before[child]), child


def plain(live: Object) -> Object:
    return without_digest(applied_by_operator(live))


def wanted(manifest: Object) -> Object:
    return without_digest(without_bookkeeping(manifest))


def without_digest(manifest: Object) -> Object:
    """Digests are of the namespace that the files were rendered for."""
    annotations = {
        key: value for key, value in manifest["metadata"].get("annotations", {}).items() if "applied-hash" not in key
    }
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "annotations"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations} if annotations else metadata}


def generation(live: Object) -> object:
    """Counts changes of the spec; None of kinds that do not count."""
    return live["metadata"].get("generation")
