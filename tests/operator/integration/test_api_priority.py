"""config/api-priority: the API server gives the operator's requests the share that is meant for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import REPOSITORY, build_stack
from tests.operator.integration.tenant import Tenant

PRIORITY = REPOSITORY / "config" / "api-priority"
DISPATCHED = re.compile(
    r'^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="(.+?)",priority_level="(.+?)"\} [1-9]', re.M
)


@pytest.fixture
def prioritised(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    control_plane.admin.run("apply", "-k", str(PRIORITY))
    yield control_plane
    control_plane.admin.run("delete", "-k", str(PRIORITY))


def test_the_operators_requests_and_its_lease_have_their_own_shares(
    prioritised: ControlPlane, tenant: Tenant, operator: OperatorProcess
) -> None:
    wanted = {("rlm-operator-lease", "leader-election"), ("rlm-operator", "rlm-operator")}

    def are_used() -> bool:
        return wanted <= set(DISPATCHED.findall(prioritised.admin.run("get", "--raw", "/metrics")))

    tenant.apply(build_stack("s", tenant.namespace))
    tenant.expect("deployment", "s-rlm")
    eventually(are_used, "requests in both shares")
