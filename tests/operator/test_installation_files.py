"""config/: what a reviewer of the installation would check by eye."""

from __future__ import annotations

from rlm_operator.kinds import APIS
from rlm_operator.names import operator_version
from tests.operator.specs import REPOSITORY, load

CONFIG = REPOSITORY / "config"


def test_the_operators_image_is_that_of_this_version() -> None:
    [deployment] = load(CONFIG / "manager" / "deployment.yaml")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"rlm-operator/operator:{operator_version()}"


def test_the_role_names_every_kind_that_the_operator_handles_and_no_wildcard() -> None:
    [role] = load(CONFIG / "rbac" / "cluster-role.yaml")
    lease_role, _ = load(CONFIG / "rbac" / "lease-role.yaml")
    rules = role["rules"] + lease_role["rules"]
    named = {(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]}
    assert {(api.group, api.plural) for api in APIS.values()} == {
        (group, resource) for group, resource in named if not resource.endswith("/status")
    }
    assert not [rule for rule in rules if "*" in rule["verbs"] + rule["resources"] + rule["apiGroups"]]


def test_the_role_can_not_look_around_among_secrets() -> None:
    [role] = load(CONFIG / "rbac" / "cluster-role.yaml")
    [rule] = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    assert rule == {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch", "delete"]}
