"""Two operators: one leads, the other takes over, and nothing is lost, done twice or fought over meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.proxy import FaultProxy
from tests.operator.integration.election import LEASE_SECONDS, Pair, told
from tests.operator.integration.installation import Installation
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.recoveries import Recoveries
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Tenant
from tests.operator.integration.test_quiet import await_silence, writes


@pytest.fixture
def alone(operator: OperatorProcess, tenant: Tenant) -> Iterator[Tenant]:
    """A namespace that the session's operator does not serve for now."""
    operator.stop()
    yield tenant
    operator.ensure_running()


@pytest.fixture
def pair(alone: Tenant, control_plane: ControlPlane, installation: Installation, tmp_path: Path) -> Iterator[Pair]:
    """Two operators, not started."""
    kubeconfig = control_plane.service_account_kubeconfig(installation.namespace, installation.service_account)
    first, second = (
        OperatorProcess(kubeconfig, installation.user, tmp_path / f"{name}.log", installation.namespace)
        for name in ("first", "second")
    )
    pair = Pair(control_plane, first, second)
    yield pair
    pair.stop()


def serve_change(tenant: Tenant, iterations: int) -> None:
    """Asks for another setting of the stack `s` and returns when it is in effect."""
    tenant.patch("rlmstack", "s", {"spec": {"rlm": {"maxIterations": iterations}}})
    await_change(tenant, iterations)


def await_change(tenant: Tenant, iterations: int) -> None:
    eventually(
        lambda: (tenant.get("configmap", "s-rlm") or {}).get("data", {}).get("max-iterations") == str(iterations),
        "the change being in effect",
    )


def test_a_leader_that_is_asked_to_end_hands_over_at_once(
    pair: Pair, alone: Tenant, control_plane: ControlPlane, recoveries: Recoveries
) -> None:
    pair.start()
    alone.apply(build_stack("s", alone.namespace))
    await_change(alone, 30)
    key = alone.expect("secret", "s-rlm-keys")["data"]
    leader, standby = pair.await_leader()
    alone.patch("rlmstack", "s", {"spec": {"rlm": {"maxIterations": 11}}})
    alone.apply(build_stack("later", alone.namespace))
    leader.terminate()
    with recoveries.measure("SIGTERM of the leader, until the other one leads"):
        eventually(lambda: standby.leads, "the other leading")
    await_change(alone, 11)
    alone.expect("deployment", "later-rlm")
    assert leader.stop() == 0
    assert alone.expect("secret", "s-rlm-keys")["data"] == key
    names = sorted(name for _, name in alone.children())
    assert len([name for name in names if name == "later-rlm"]) == len([name for name in names if name == "s-rlm"])
    events = control_plane.admin.list("events.events.k8s.io", "rlm-system")
    holder = pair.lease["spec"]["holderIdentity"]
    assert [event for event in events if event["note"] == f"{holder} became leader"]


def test_a_killed_leader_is_followed_when_its_lease_has_run_out(
    pair: Pair, alone: Tenant, recoveries: Recoveries
) -> None:
    pair.start()
    alone.apply(build_stack("s", alone.namespace))
    await_change(alone, 30)
    leader, standby = pair.await_leader()
    leader.kill()
    with recoveries.measure(f"SIGKILL of the leader with a Lease of {LEASE_SECONDS} s, until a change is served"):
        serve_change(alone, 12)
    assert standby.leads


def test_a_frozen_api_server_makes_the_leader_stop_before_its_lease_can_be_taken(
    pair: Pair, alone: Tenant, control_plane: ControlPlane, recoveries: Recoveries
) -> None:
    pair.start()
    alone.apply(build_stack("s", alone.namespace))
    await_change(alone, 30)
    leader, _ = pair.await_leader()
    with control_plane.frozen_api_server(), recoveries.measure("frozen API server, until the leader has stopped"):
        eventually(lambda: not leader.leads, "the leader stopping", LEASE_SECONDS)
    with recoveries.measure("API server thawed, until a change is served"):
        serve_change(alone, 13)
    pair.await_leader()


def test_a_leader_that_is_cut_off_stops_before_the_other_begins(
    pair: Pair, alone: Tenant, control_plane: ControlPlane, installation: Installation, tmp_path: Path
) -> None:
    with FaultProxy(control_plane.url, control_plane.authority) as proxy:
        account = (installation.namespace, installation.service_account)
        kubeconfig = control_plane.service_account_kubeconfig(*account, server=proxy.url)
        _, standby = pair.both
        leader = OperatorProcess(kubeconfig, installation.user, tmp_path / "cut-off.log", installation.namespace)
        leader.start(lease_seconds=LEASE_SECONDS)
        eventually(lambda: leader.leads, "the first leading")
        standby.start(lease_seconds=LEASE_SECONDS)
        alone.apply(build_stack("s", alone.namespace))
        await_change(alone, 30)
        with proxy.stalled():
            serve_change(alone, 14)
            assert standby.leads
            assert not leader.leads
        assert told(leader, "no longer leading")[-1] < told(standby, "leading")[-1]
        standby.stop()
        serve_change(alone, 15)
        assert leader.stop() == 0


def test_a_leader_that_was_frozen_itself_writes_nothing_when_it_goes_on(pair: Pair, alone: Tenant) -> None:
    pair.start()
    alone.apply(build_stack("s", alone.namespace))
    await_change(alone, 30)
    leader, standby = pair.await_leader()
    with leader.frozen():
        eventually(lambda: standby.leads, "the other leading")
        serve_change(alone, 16)
    eventually(lambda: told(leader, "no longer leading"), "the first noticing it")
    assert not leader.leads
    assert standby.leads
    assert alone.expect("configmap", "s-rlm")["data"]["max-iterations"] == "16"


@pytest.mark.parametrize("written", ["2099-01-01T00:00:00.000000Z", "1999-01-01T00:00:00.000000Z"])
def test_a_clock_that_is_wrong_by_years_changes_no_leader(pair: Pair, alone: Tenant, written: str) -> None:
    pair.start()
    leader, _ = pair.await_leader()
    before = pair.lease["spec"]
    pair.edit_lease(renewTime=written)
    eventually(lambda: pair.lease["spec"]["renewTime"] not in (written, before["renewTime"]), "a renewal")
    assert leader.leads
    after = pair.lease["spec"]
    assert (after["holderIdentity"], after["leaseTransitions"]) == (
        before["holderIdentity"],
        before["leaseTransitions"],
    )
    pair.stop()
    pair.edit_lease(holderIdentity="gone", renewTime=written, leaseDurationSeconds=LEASE_SECONDS)
    pair.start()
    pair.await_leader()


def test_a_lease_that_somebody_takes_or_deletes_is_won_back(
    pair: Pair, alone: Tenant, control_plane: ControlPlane
) -> None:
    pair.start()
    leader, _ = pair.await_leader()
    pair.edit_lease(holderIdentity="somebody", leaseDurationSeconds=LEASE_SECONDS)
    eventually(lambda: told(leader, "no longer leading"), "the leader stopping")
    pair.await_leader()
    control_plane.admin.delete("lease", "rlm-operator", "rlm-system")
    alone.apply(build_stack("s", alone.namespace))
    await_change(alone, 30)
    pair.await_leader()


def test_two_operators_that_both_work_do_no_harm(
    alone: Tenant, control_plane: ControlPlane, installation: Installation, tmp_path: Path
) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(installation.namespace, installation.service_account)
    both = [OperatorProcess(kubeconfig, installation.user, tmp_path / f"{name}.log") for name in ("one", "two")]
    for operator in both:
        operator.start()
    alone.apply(build_stack("s", alone.namespace, {"sandbox": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}}))
    await_change(alone, 30)
    keys = {name: alone.expect("secret", name)["data"] for name in ("s-rlm-keys", "s-wasm-keys")}
    for iterations in (17, 18, 19):
        serve_change(alone, iterations)
        alone.delete("service", "s-wasm")
        alone.expect("service", "s-wasm")
    alone.patch("rlmstack", "s", {"spec": {"sandbox": {"autoscaling": None}}})
    alone.expect_gone("horizontalpodautoscaler", "s-wasm")
    for name, before in keys.items():
        assert before.items() <= alone.expect("secret", name)["data"].items()
    mark = await_silence(control_plane, both[0])
    assert writes(control_plane, both[0], mark) == []
    for operator in both:
        assert operator.stop() == 0
