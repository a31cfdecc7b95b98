"""What is rendered for any spec is accepted by a real API server, resource, children and pods; restricted throughout.

Specs are generated out of the CRDs' schemas, so a new field is among them. Requests are dry runs, many in one kubectl.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from rlm_operator.inputs import Inputs
from rlm_operator.kinds import OPTIONAL_CHILD_KINDS
from rlm_operator.render import render
from rlm_operator.resource import Kind, parse_resource
from tests.controlplane.cluster import ControlPlane, create_namespace
from tests.controlplane.errors import KubectlError
from tests.controlplane.kubectl import Object
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.operator.schema_specs import PRIORITY_CLASS, RUNTIME_CLASS, manifests
from tests.operator.specs import IMAGES

NAMESPACE: Final = "team"
"""Of all generated resources."""
INPUTS: Final = Inputs(images=IMAGES, served=frozenset(OPTIONAL_CHILD_KINDS))
EXAMPLES: Final = 30
GENERATING = settings(
    deadline=None,
    max_examples=EXAMPLES,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def namespace(installed: ControlPlane) -> Iterator[ControlPlane]:
    """A restricted namespace, every optional API, and the cluster objects that generated specs name."""
    admin = installed.admin
    install_crds(admin)
    create_namespace(admin, NAMESPACE)
    admin.run("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    admin.run("create", "priorityclass", PRIORITY_CLASS, "--value=1000")
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME_CLASS}}
    admin.apply({**runtime, "handler": "runsc"})
    yield installed
    admin.run("delete", "priorityclass", PRIORITY_CLASS)
    admin.run("delete", "runtimeclass", RUNTIME_CLASS)
    admin.run("delete", "namespace", NAMESPACE, "--wait=false")
    remove_crds(admin)


@pytest.mark.parametrize("kind", list(Kind))
def test_any_spec_gives_objects_and_pods_that_the_api_server_takes(namespace: ControlPlane, kind: Kind) -> None:
    batch: list[Object] = []

    @GENERATING
    @given(manifest=manifests(kind))
    def collect(manifest: Object) -> None:
        children = render(parse_resource(manifest), INPUTS)
        batch.extend([manifest, *children, *(pod_of(child) for child in children if child["kind"] == "Deployment")])

    collect()
    assert sum(item["kind"] == "Pod" for item in batch) >= EXAMPLES / 2
    dry_run(namespace, batch)


def pod_of(deployment: Object) -> Object:
    """A pod as the Deployment's would be; its ServiceAccount, which a dry run does not make, is the namespace's."""
    template = copy.deepcopy(deployment["spec"]["template"])
    template["spec"]["serviceAccountName"] = "default"
    metadata = {**template["metadata"], "name": deployment["metadata"]["name"], "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def dry_run(cluster: ControlPlane, objects: list[Object]) -> None:
    """Raises KubectlError with the API server's words about each object that it refuses."""
    for start in range(0, len(objects), 100):
        items = {"apiVersion": "v1", "kind": "List", "items": objects[start : start + 100]}
        cluster.admin.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(items))


def test_a_pod_that_is_not_restricted_is_refused_by_that_namespace(namespace: ControlPlane) -> None:
    """The test before can fail."""
    [deployment] = [
        child for child in render(parse_resource({**EMPTY_POOL, "spec": {}}), INPUTS) if child["kind"] == "Deployment"
    ]
    pod = pod_of(deployment)
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        dry_run(namespace, [pod])


EMPTY_POOL: Final = {
    "apiVersion": "rlm-operator.dev/v1alpha1",
    "kind": "SandboxPool",
    "metadata": {"name": "p", "namespace": NAMESPACE},
}
