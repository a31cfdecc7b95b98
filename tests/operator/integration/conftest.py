"""Fixtures of the operator's integration tests: a control plane, config/default applied to it, and the operator.

The operator runs for the whole session; a test gets a namespace of its own, so tests do not see each other's stacks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.fixture import control_plane, pytest_collection_finish
from tests.operator.integration.installation import Installation, install
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.recoveries import Recoveries
from tests.operator.integration.tenant import Tenant

__all__ = ["control_plane", "pytest_collection_finish"]

LAST_MODULE: Final = "test_permissions"
"""Looks back at everything that the operator asked for."""

_numbers = itertools.count(1)

RECOVERIES: Final = pytest.StashKey[Recoveries]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECOVERIES] = Recoveries()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[RECOVERIES].lines:
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LAST_MODULE in item.nodeid)


@pytest.fixture
def recoveries(pytestconfig: pytest.Config) -> Recoveries:
    """Takes times; they are printed at the end of the run."""
    return pytestconfig.stash[RECOVERIES]


@pytest.fixture(scope="session")
def installation(control_plane: ControlPlane) -> Installation:
    """config/default, applied."""
    return install(control_plane)


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane, installation: Installation) -> ControlPlane:
    """The control plane with everything that config/default installs; nothing runs it yet."""
    return control_plane


@pytest.fixture(scope="session")
def running_operator(
    control_plane: ControlPlane, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    kubeconfig = control_plane.service_account_kubeconfig(installation.namespace, installation.service_account)
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    operator = OperatorProcess(kubeconfig, installation.user, log, installation.namespace)
    operator.start()
    yield operator
    operator.ensure_running()
    assert operator.stop() == 0


@pytest.fixture
def operator(running_operator: OperatorProcess) -> OperatorProcess:
    """The operator, running."""
    running_operator.ensure_running()
    return running_operator


@pytest.fixture
def unserved(control_plane: ControlPlane) -> Iterator[Tenant]:
    """A namespace of the test's own; the test itself says which operator serves it."""
    tenant = Tenant(control_plane, f"team-{next(_numbers)}")
    yield tenant
    if control_plane.admin.get("namespace", tenant.namespace) is None:
        return
    resources = "rlmstacks,sandboxpools"
    tenant.kubectl.run("delete", resources, "--all", "-n", tenant.namespace, "--wait=false")
    eventually(lambda: not tenant.kubectl.list(resources, tenant.namespace), "the stacks being gone")
    tenant.kubectl.delete("namespace", tenant.namespace)


@pytest.fixture
def tenant(unserved: Tenant, operator: OperatorProcess) -> Tenant:
    """A namespace of the test's own, served by the operator."""
    return unserved
