"""An operator with nothing to do writes nothing: while it idles, and when it starts anew beside what it made before."""

from __future__ import annotations

import time

from tests.controlplane.audit import Request
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import QUICKSTART, build_stack
from tests.operator.integration.tenant import Tenant

IDLE_SECONDS = 60.0
SETTLED_SECONDS = 5.0
LEASE_NAMESPACE = "rlm-system"


def test_an_idle_minute_has_no_writes(tenant: Tenant, control_plane: ControlPlane, operator: OperatorProcess) -> None:
    bring_up(tenant)
    mark = await_silence(control_plane, operator)
    time.sleep(IDLE_SECONDS)  # the claim is about this time; there is nothing to wait for
    assert writes(control_plane, operator, mark) == []


def test_a_restarted_operator_writes_nothing_to_what_is_as_it_should_be(
    tenant: Tenant, control_plane: ControlPlane, operator: OperatorProcess
) -> None:
    bring_up(tenant)
    mark = await_silence(control_plane, operator)
    assert operator.restart() == 0
    tenant.apply(build_stack("later", tenant.namespace, {"inference": {"replicas": 0}, "sandbox": {"replicas": 0}}))
    tenant.expect_condition("rlmstack", "later", "SecretsReady", "True")
    await_silence(control_plane, operator)
    written = writes(control_plane, operator, mark)
    assert [request for request in written if not request.name.startswith("later")] == []
    assert written


def test_a_change_made_while_the_operator_was_away_is_repaired_at_its_start(
    tenant: Tenant, operator: OperatorProcess
) -> None:
    bring_up(tenant)
    operator.stop()
    tenant.patch("configmap", "demo-rlm", {"data": {"max-iterations": "9999"}})
    tenant.delete("service", "demo-wasm")
    tenant.patch("rlmstack", "demo", {"spec": {"rlm": {"maxSubcalls": 5}}})
    operator.start()
    tenant.expect("service", "demo-wasm")
    eventually(lambda: tenant.expect("configmap", "demo-rlm")["data"]["max-iterations"] == "30", "the repair")
    assert tenant.expect("configmap", "demo-rlm")["data"]["max-subcalls"] == "5"


def test_a_stack_deleted_while_the_operator_was_away_is_gone_with_its_children(
    tenant: Tenant, operator: OperatorProcess
) -> None:
    bring_up(tenant)
    operator.stop()
    tenant.delete("rlmstack", "demo")
    tenant.expect_children(set())
    operator.start()
    tenant.apply(build_stack("later", tenant.namespace))
    tenant.expect("deployment", "later-rlm")
    assert not [name for _, name in tenant.children() if name.startswith("demo")]


def bring_up(tenant: Tenant) -> None:
    """The quickstart, ready."""
    tenant.create_secret("llm-secrets", api_key="sk-test")
    tenant.apply_file(QUICKSTART)
    tenant.make_pods_ready("demo-rlm", 2)
    tenant.make_pods_ready("demo-wasm", 2)
    tenant.expect_condition("rlmstack", "demo", "Ready", "True")


def writes(control_plane: ControlPlane, operator: OperatorProcess, since: int) -> list[Request]:
    """Without the election of a leader: its Lease is renewed every two seconds, a new term is an Event."""
    written = control_plane.audit.writes(user=operator.user, since=since)
    return [request for request in written if request.namespace != LEASE_NAMESPACE]


def await_silence(control_plane: ControlPlane, operator: OperatorProcess) -> int:
    """Waits until the operator has written nothing for some seconds; returns the audit log's mark from then."""
    mark, since = control_plane.audit.mark(), time.monotonic()

    def is_silent() -> bool:
        nonlocal mark, since
        reached = control_plane.audit.mark()
        if writes(control_plane, operator, mark):
            mark, since = reached, time.monotonic()
        return time.monotonic() - since > SETTLED_SECONDS

    eventually(is_silent, "silence of the operator")
    return mark
