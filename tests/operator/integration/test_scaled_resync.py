"""A stack that an autoscaler has scaled stays as it is, however often the operator looks at it."""

from __future__ import annotations

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Tenant
from tests.operator.integration.test_quiet import await_silence

LISTS = 30
LOOKS = 60
"""In an hour every kind is listed 30 times, and every resource is looked at 60 times."""


def test_an_hours_worth_of_resyncs_writes_nothing_to_what_an_autoscaler_has_scaled(
    tenant: Tenant, operator: OperatorProcess, control_plane: ControlPlane
) -> None:
    scaled = {"replicas": 3, "autoscaling": {"minReplicas": 2, "maxReplicas": 9}}
    tenant.apply(build_stack("s", tenant.namespace, {"inference": scaled, "sandbox": scaled}))
    for deployment in ("s-rlm", "s-wasm"):
        tenant.expect("deployment", deployment)
        tenant.kubectl.run("scale", "deployment", deployment, "--replicas=7", "-n", tenant.namespace)
    operator.stop()
    operator.start(resync_seconds=1)
    mark = await_silence(control_plane, operator)
    for number in range(LOOKS):
        looked = f"looked={number}"
        tenant.kubectl.run("annotate", "rlmstack,sandboxpool", "s", looked, "--overwrite", "-n", tenant.namespace)
    eventually(lambda: lists(control_plane, operator, mark) >= LISTS, f"{LISTS} lists of everything")
    written = control_plane.audit.writes(user=operator.user, since=mark)
    assert [request for request in written if request.namespace == tenant.namespace] == []
    for deployment in ("s-rlm", "s-wasm"):
        assert tenant.expect("deployment", deployment)["spec"]["replicas"] == 7
    operator.restart()


def lists(control_plane: ControlPlane, operator: OperatorProcess, mark: int) -> int:
    """How often the Deployments were listed anew."""
    asked = control_plane.audit.requests(user=operator.user, since=mark)
    return sum(request.verb == "list" and request.resource == "deployments" for request in asked)
