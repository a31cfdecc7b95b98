"""`kubectl apply -k config/default`: accepted, complete, and its operator pod is one that a strict namespace admits."""

from __future__ import annotations

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.installation import Installation
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import DEFAULT_INSTALL


def test_the_installation_applied_twice_changes_nothing(installed: ControlPlane) -> None:
    lines = installed.admin.run("apply", "-k", str(DEFAULT_INSTALL)).splitlines()
    assert lines
    # kubectl replaces a budget's selector whole, so it always has something to say of it.
    changed = [line for line in lines if not line.endswith(" unchanged")]
    assert [line for line in changed if not line.startswith("poddisruptionbudget")] == []


def test_the_operators_pod_is_admitted_in_a_restricted_namespace(
    installed: ControlPlane, installation: Installation
) -> None:
    namespace = installed.admin.get("namespace", installation.namespace)
    assert namespace is not None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"

    def both() -> list[Object]:
        found = installed.admin.list("pods", installation.namespace)
        return found if len(found) == installation.deployment["spec"]["replicas"] else []

    pods = eventually(both, "the operator's pods")
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {installation.service_account}


def test_two_operators_run_on_nodes_of_their_own_and_one_may_be_drained(
    installed: ControlPlane, installation: Installation
) -> None:
    spec = installation.deployment["spec"]
    assert spec["replicas"] == 2
    assert "podAntiAffinity" in spec["template"]["spec"]["affinity"]
    budget = installed.admin.get("poddisruptionbudget", "rlm-operator", installation.namespace)
    assert budget is not None
    assert budget["spec"] == {"maxUnavailable": 1, "selector": spec["selector"]}


def test_the_operator_tells_health_readiness_and_metrics(operator: OperatorProcess) -> None:
    operator.fetch("/healthz")
    operator.fetch("/readyz")
    assert "# TYPE" in operator.fetch("/metrics")
