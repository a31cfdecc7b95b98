"""What is away for a while: the API server, etcd, the operator, its token. Nothing is lost, nothing is left over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.installation import Installation
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.recoveries import Recoveries
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Child, Tenant

OUTAGE_SECONDS = float(os.environ.get("RLM_TEST_OUTAGE_SECONDS", "6"))
"""60 for the figure in docs/reliability.md."""
SHORT_LEASE_SECONDS = 6
KILLED_AFTER_WRITES = (1, 4, 9, 14)


@pytest.fixture
def stack(tenant: Tenant) -> Tenant:
    """A namespace with the stack `s`."""
    tenant.apply(build_stack("s", tenant.namespace))
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True")
    return tenant


def expect_service(tenant: Tenant, name: str) -> None:
    """An edit is undone and a new stack is served."""
    tenant.patch("configmap", "s-rlm", {"data": {"max-iterations": "9999"}})
    tenant.apply(build_stack(name, tenant.namespace))
    eventually(lambda: tenant.expect("configmap", "s-rlm")["data"]["max-iterations"] == "30", "the repair")
    tenant.expect("deployment", f"{name}-rlm")
    tenant.expect("deployment", f"{name}-wasm")


def test_an_api_server_that_is_away_longer_than_the_lease_is_served_when_it_is_back(
    stack: Tenant, control_plane: ControlPlane, operator: OperatorProcess, recoveries: Recoveries
) -> None:
    operator.stop()
    operator.start(lease_seconds=SHORT_LEASE_SECONDS)
    eventually(lambda: operator.leads, "leading")
    with control_plane.without_api_server():
        away = time.monotonic()
        eventually(lambda: not operator.leads, "the leader stopping")
        eventually(lambda: time.monotonic() - away > OUTAGE_SECONDS, "the outage", OUTAGE_SECONDS + 60)
    with recoveries.measure(f"API server away for {OUTAGE_SECONDS:.0f} s, from its return until changes are served"):
        expect_service(stack, "later")
    operator.ensure_running()
    operator.restart()


def test_an_etcd_that_was_killed_is_found_again(
    stack: Tenant, control_plane: ControlPlane, operator: OperatorProcess, recoveries: Recoveries
) -> None:
    with recoveries.measure("SIGKILL and restart of etcd, until changes are served"):
        control_plane.restart_etcd()
        expect_service(stack, "later")
    operator.ensure_running()


def test_an_operator_that_is_killed_in_the_middle_of_its_writes_ends_them_when_it_is_back(
    tenant: Tenant, control_plane: ControlPlane, operator: OperatorProcess, recoveries: Recoveries
) -> None:
    operator.stop()
    operator.start(lease_namespace="")
    for count in KILLED_AFTER_WRITES:
        name = f"s{count}"
        keys = kill_after(count, name, tenant, control_plane, operator)
        with recoveries.measure(f"SIGKILL after {count} writes, from the new start until the stack is complete"):
            operator.start(lease_namespace="")
            tenant.expect_condition("rlmstack", name, "SecretsReady", "True")
            tenant.expect_condition("sandboxpool", name, "SecretsReady", "True")
        for secret, before in keys.items():
            assert before.items() <= tenant.expect("secret", secret)["data"].items()
    complete = [children_of(f"s{count}", tenant) for count in KILLED_AFTER_WRITES]
    assert complete[0]
    assert all(children == complete[0] for children in complete)
    operator.restart()


def kill_after(
    count: int, name: str, tenant: Tenant, control_plane: ControlPlane, operator: OperatorProcess
) -> dict[str, Object]:
    """Asks for a stack and kills the operator after its first writes; returns the Secrets that are there then."""
    mark = control_plane.audit.mark()
    tenant.apply(build_stack(name, tenant.namespace))
    eventually(lambda: len(control_plane.audit.writes(user=operator.user, since=mark)) >= count, "writes")
    operator.kill()
    found = {secret: tenant.get("secret", secret) for secret in (f"{name}-rlm-keys", f"{name}-wasm-keys")}
    return {secret: manifest["data"] for secret, manifest in found.items() if manifest is not None}


def children_of(name: str, tenant: Tenant) -> set[Child]:
    """Of the stack and its pool, without the stack's name."""
    return {
        (kind, child.removeprefix(name))
        for kind, child in tenant.children()
        if child == name or child.startswith(f"{name}-")
    }


def test_a_stack_made_while_the_operator_was_away_is_served_at_its_start(
    tenant: Tenant, operator: OperatorProcess
) -> None:
    operator.stop()
    tenant.apply(build_stack("s", tenant.namespace))
    operator.start()
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True")
    tenant.expect("deployment", "s-wasm")


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.fixture
def tokens(control_plane: ControlPlane, installation: Installation) -> Iterator[list[str]]:
    """Two Secrets, each of which a token is bound to and dies with."""
    names = ["first-token", "second-token"]
    for name in names:
        control_plane.admin.run("create", "secret", "generic", name, "-n", installation.namespace)
    yield names
    for name in names:
        control_plane.admin.run("delete", "secret", name, "-n", installation.namespace, "--ignore-not-found")


def test_a_token_that_was_rotated_and_revoked_is_replaced(
    stack: Tenant,
    control_plane: ControlPlane,
    installation: Installation,
    operator: OperatorProcess,
    tokens: list[str],
    token_file: Path,
    tmp_path: Path,
    recoveries: Recoveries,
) -> None:
    operator.stop()
    first, second = tokens
    write_token(control_plane, installation, first, token_file)
    kubeconfig = tmp_path / "rotated.conf"
    document = yaml.safe_load(control_plane.admin.kubeconfig.read_text())
    document["users"][0]["user"] = {"tokenFile": str(token_file)}
    kubeconfig.write_text(yaml.safe_dump(document))
    rotated = OperatorProcess(kubeconfig, installation.user, tmp_path / "rotated.log", installation.namespace)
    rotated.start()
    expect_service(stack, "before")
    write_token(control_plane, installation, second, token_file)
    control_plane.admin.delete("secret", first, installation.namespace)
    with recoveries.measure("token revoked and rotated, every watch cut, until changes are served"):
        control_plane.restart_api_server()
        expect_service(stack, "after")
    assert not rotated.has_ended
    assert rotated.stop() == 0
    operator.ensure_running()


def write_token(control_plane: ControlPlane, installation: Installation, secret: str, file: Path) -> None:
    bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
    account = (installation.service_account, "-n", installation.namespace)
    file.write_text(control_plane.admin.run("create", "token", *account, *bound))
