"""What the API server refuses of a stack's tools, models, budgets, storage and traces, and what it takes.

Every rule of the unit tests' table is broken here once, against the rule that the API server evaluates.
"""

from __future__ import annotations

import re

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import KubectlError
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import build_stack
from tests.operator.setting_rules import ACCEPTED, SETTING_RULES, UNPRICED, tools


@pytest.mark.parametrize("rule", SETTING_RULES)
def test_a_setting_against_a_rule_is_refused_by_the_api_server(installed: ControlPlane, rule: str) -> None:
    with pytest.raises(KubectlError, match=re.escape(rule)):
        installed.admin.apply(build_stack("refused", "default", SETTING_RULES[rule]), "--dry-run=server")


@pytest.mark.parametrize("unpriced", UNPRICED)
def test_a_model_without_a_price_beside_others_is_refused(installed: ControlPlane, unpriced: str) -> None:
    with pytest.raises(KubectlError, match="cost is counted when every model has a price"):
        installed.admin.apply(build_stack("refused", "default", UNPRICED[unpriced]), "--dry-run=server")


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_a_setting_within_the_rules_is_accepted(installed: ControlPlane, accepted: str) -> None:
    installed.admin.apply(build_stack("accepted", "default", ACCEPTED[accepted]), "--dry-run=server")


_LIMIT: Object = {"properties": {"limit": {"type": "integer"}}}
_SEARCH: Object = {"properties": {"q": {"type": "string", "default": None}}, "required": ["q"]}


@pytest.mark.parametrize(
    "changes",
    [
        tools(["api.test:8443"], url="https://api.test:8443/v1"),
        tools(["api.test:443"], url="https://api.test:443/v1?limit={limit}", parameters=_LIMIT),
        tools(["10.0.0.7:8080"], url="http://10.0.0.7:8080/", allowPrivateAddresses=True),
        tools(["find.tools.svc"], url="http://find.tools.svc/{q}", allowPrivateAddresses=True, parameters=_SEARCH),
    ],
    ids=["a port of its own", "the scheme's port", "an address of one's own", "a service"],
)
def test_a_setting_near_those_rules_is_accepted(installed: ControlPlane, changes: Object) -> None:
    installed.admin.apply(build_stack("accepted", "default", changes), "--dry-run=server")
