"""Faults of the control plane: what the operator missed meanwhile, it makes good."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Tenant

RESYNC_SECONDS = 5


@pytest.fixture
def attentive_operator(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator, with full lists every few seconds instead of every two minutes."""
    operator.stop()
    operator.start(resync_seconds=RESYNC_SECONDS)
    yield operator
    operator.ensure_running()
    operator.restart()


@pytest.fixture
def stack(tenant: Tenant) -> Tenant:
    """A namespace with the stack `s`."""
    tenant.apply(build_stack("s", tenant.namespace))
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True")
    return tenant


def test_an_api_server_that_restarts_is_found_again(
    stack: Tenant, control_plane: ControlPlane, operator: OperatorProcess
) -> None:
    control_plane.restart_api_server()
    stack.patch("configmap", "s-rlm", {"data": {"max-iterations": "9999"}})
    eventually(lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "30", "the repair")
    stack.apply(build_stack("later", stack.namespace))
    stack.expect("deployment", "later-rlm")
    operator.ensure_running()


def test_what_was_deleted_while_no_watch_was_open_is_made_again(
    stack: Tenant, control_plane: ControlPlane, attentive_operator: OperatorProcess
) -> None:
    with attentive_operator.frozen():
        stack.delete("service", "s")
        stack.delete("networkpolicy", "s-wasm")
        control_plane.restart_api_server()
    stack.expect("service", "s")
    stack.expect("networkpolicy", "s-wasm")


def test_a_stack_deleted_while_no_watch_was_open_does_not_come_back(
    stack: Tenant, control_plane: ControlPlane, attentive_operator: OperatorProcess
) -> None:
    with attentive_operator.frozen():
        stack.delete("rlmstack", "s")
        stack.expect_children(set())
        control_plane.restart_api_server()
    stack.apply(build_stack("later", stack.namespace))
    stack.expect("deployment", "later-rlm")
    assert [name for _, name in stack.children() if name.startswith("s-")] == []
