"""config/namespaced: the operator of one namespace does all its work there with a Role, and has no right elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.operator.integration.access_reviews import Action, find_allowed
from tests.operator.integration.installation import Installation, install_namespaced
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import QUICKSTART, build_stack
from tests.operator.integration.tenant import Tenant

NAMESPACE = "rlm-team"
SCOPE = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}


@pytest.fixture(scope="module")
def ours(control_plane: ControlPlane) -> Iterator[Tenant]:
    """The namespace that the installation is for; pods must be restricted in it, the operator's own included."""
    yield Tenant(control_plane, NAMESPACE)
    control_plane.admin.delete("namespace", NAMESPACE)


@pytest.fixture(scope="module")
def scoped(control_plane: ControlPlane, installation: Installation, ours: Tenant) -> Installation:
    """config/namespaced, applied beside the CRDs of config/default."""
    return install_namespaced(control_plane)


@pytest.fixture
def scoped_operator(
    scoped: Installation, control_plane: ControlPlane, operator: OperatorProcess, tmp_path: Path
) -> Iterator[OperatorProcess]:
    """The operator as the namespaced Deployment runs it, and no other."""
    operator.stop()
    kubeconfig = control_plane.service_account_kubeconfig(scoped.namespace, scoped.service_account)
    process = OperatorProcess(kubeconfig, scoped.user, tmp_path / "scoped.log", scoped.namespace)
    process.start(namespaces=NAMESPACE)
    yield process
    assert process.stop() == 0
    operator.ensure_running()


def test_its_deployment_serves_the_namespace_that_it_is_in(scoped: Installation) -> None:
    [container] = scoped.deployment["spec"]["template"]["spec"]["containers"]
    variables = {entry.pop("name"): entry for entry in container["env"]}
    assert variables["RLM_OPERATOR_NAMESPACES"] == variables["RLM_OPERATOR_LEASE_NAMESPACE"] == SCOPE
    assert scoped.namespace == NAMESPACE


def test_it_reconciles_its_namespace_and_asks_for_nothing_outside(
    scoped: Installation, scoped_operator: OperatorProcess, ours: Tenant, tenant: Tenant, control_plane: ControlPlane
) -> None:
    mark = control_plane.audit.mark()
    tenant.apply(build_stack("elsewhere", tenant.namespace))
    ours.create_secret("llm-secrets", api_key="sk-test")
    ours.apply_file(QUICKSTART)
    ours.make_pods_ready("demo-rlm", 2)
    ours.make_pods_ready("demo-wasm", 2)
    ours.expect_condition("rlmstack", "demo", "Ready", "True")
    eventually(lambda: ours.kubectl.list("pods", NAMESPACE, "app.kubernetes.io/component=operator"), "its own pods")
    uid = ours.expect("service", "demo")["metadata"]["uid"]
    ours.delete("service", "demo")
    ours.expect_another("service", "demo", uid)
    assert tenant.children() == {}
    asked = control_plane.audit.requests(user=scoped.user, since=mark)
    assert [request for request in asked if request.is_forbidden] == []
    assert {request.namespace for request in asked if request.resource} == {NAMESPACE}
    ours.delete("rlmstack", "demo")
    eventually(lambda: not ours.children(), "the children being gone")


def test_it_may_do_in_its_namespace_what_the_default_installation_may_do_and_nothing_elsewhere(
    scoped: Installation, installation: Installation, control_plane: ControlPlane
) -> None:
    granted = scoped.permissions(control_plane.admin)
    assert granted == installation.permissions(control_plane.admin)
    kubeconfig = control_plane.service_account_kubeconfig(scoped.namespace, scoped.service_account)
    account = control_plane.kubectl(kubeconfig)
    for elsewhere in ("", "default", "rlm-system"):
        assert find_allowed(account, [Action(verb, group, kind, elsewhere) for group, kind, verb in granted]) == []
