"""What the operator's account can not do, asked of the API server as that account; and what its users' roles let them.

`test_permissions.py` shows that what is granted is used; here is a list, written by hand, of what must never be.
"""

from __future__ import annotations

import pytest

from tests.controlplane.cluster import ControlPlane, create_namespace
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Kubectl
from tests.operator.integration.access_reviews import Action, find_allowed
from tests.operator.integration.installation import Installation

RBAC, APPS, CERTIFICATES = "rbac.authorization.k8s.io", "apps", "certificates.k8s.io"
OURS = "rlm-operator.dev"

DENIED = [
    *(Action(verb, "", "secrets") for verb in ("list", "watch", "update", "deletecollection")),
    *(Action(verb, "", "secrets", "kube-system") for verb in ("list", "watch")),
    *(Action("create", "", f"pods/{way}") for way in ("exec", "attach", "portforward", "eviction", "binding", "proxy")),
    *(Action("get", "", f"pods/{way}") for way in ("exec", "attach", "portforward", "proxy", "log")),
    *(Action(verb, "", "pods/ephemeralcontainers") for verb in ("update", "patch")),
    *(Action(verb, "", "pods") for verb in ("create", "update", "patch", "delete", "deletecollection")),
    *(Action(verb, "", "nodes") for verb in ("get", "watch", "patch", "update", "delete")),
    *(Action(verb, "", "nodes/proxy") for verb in ("get", "create")),
    *(Action(verb, "", "namespaces") for verb in ("create", "patch", "update", "delete")),
    *(Action(verb, "", "persistentvolumes") for verb in ("create", "patch", "delete")),
    *(Action("impersonate", "", who) for who in ("users", "groups", "serviceaccounts")),
    Action("impersonate", "authentication.k8s.io", "userextras/scopes"),
    Action("create", "", "serviceaccounts/token"),
    *(Action(verb, "", "services/proxy") for verb in ("get", "create")),
    *(Action(verb, "", "endpoints") for verb in ("create", "update", "patch")),
    *(Action(verb, "", "events") for verb in ("list", "delete", "deletecollection")),
    *(Action(verb, "", "configmaps") for verb in ("update", "deletecollection")),
    *(Action(verb, RBAC, "roles") for verb in ("create", "update", "patch", "delete", "bind", "escalate")),
    *(Action(verb, RBAC, "clusterroles") for verb in ("create", "update", "patch", "delete", "bind", "escalate")),
    *(Action(verb, RBAC, "rolebindings") for verb in ("create", "update", "patch", "delete")),
    *(Action(verb, RBAC, "clusterrolebindings") for verb in ("create", "update", "patch", "delete")),
    *(Action(verb, APPS, "deployments") for verb in ("update", "deletecollection")),
    *(Action("create", APPS, kind) for kind in ("daemonsets", "statefulsets", "replicasets")),
    *(Action(verb, OURS, "rlmstacks") for verb in ("create", "update", "patch", "delete", "deletecollection")),
    *(Action("update", OURS, f"{kind}/finalizers") for kind in ("rlmstacks", "sandboxpools")),
    *(Action(verb, "apiextensions.k8s.io", "customresourcedefinitions") for verb in ("create", "patch", "delete")),
    *(
        Action("create", "admissionregistration.k8s.io", f"{kind}webhookconfigurations")
        for kind in ("mutating", "validating")
    ),
    Action("create", "apiregistration.k8s.io", "apiservices"),
    Action("create", CERTIFICATES, "certificatesigningrequests"),
    Action("update", CERTIFICATES, "certificatesigningrequests/approval"),
    Action("create", "authentication.k8s.io", "tokenreviews"),
    *(Action(verb, "flowcontrol.apiserver.k8s.io", "flowschemas") for verb in ("create", "patch")),
    *(Action(verb, "coordination.k8s.io", "leases", "kube-system") for verb in ("get", "create", "update")),
    *(Action(verb, "coordination.k8s.io", "leases", "rlm-system", "another") for verb in ("get", "update")),
    *(Action(verb, "coordination.k8s.io", "leases", "rlm-system") for verb in ("list", "watch", "delete")),
    *(Action("get", "", path) for path in ("/metrics", "/logs", "/debug/pprof")),
    Action("*", "*", "*"),
]


@pytest.fixture(scope="module")
def allowed(control_plane: ControlPlane, installation: Installation) -> list[Action]:
    kubeconfig = control_plane.service_account_kubeconfig(installation.namespace, installation.service_account)
    account = control_plane.kubectl(kubeconfig)
    granted = Action("get", "", "secrets", "default", "llm-secrets")
    eventually(lambda: find_allowed(account, [granted]), "the roles being in effect")
    return find_allowed(account, DENIED)


def test_there_are_enough_of_them_and_none_twice() -> None:
    assert len(DENIED) == len(set(DENIED)) >= 50


@pytest.mark.parametrize("action", DENIED, ids=str)
def test_the_operators_account_can_not(allowed: list[Action], action: Action) -> None:
    assert action not in allowed


def create_user(control_plane: ControlPlane, namespace: str, role: str) -> Kubectl:
    """An account with one ClusterRole in one namespace."""
    control_plane.admin.run("create", "serviceaccount", role, "-n", namespace)
    account = f"--serviceaccount={namespace}:{role}"
    control_plane.admin.run("create", "rolebinding", role, f"--clusterrole={role}", account, "-n", namespace)
    return control_plane.kubectl(control_plane.service_account_kubeconfig(namespace, role))


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        ("view", {"get", "list", "watch"}),
        ("edit", {"get", "list", "watch"}),
        ("admin", {"get", "list", "watch"}),
        ("rlmstack-viewer", {"get", "list", "watch"}),
        ("rlmstack-editor", {"get", "list", "watch", "create", "update", "patch", "delete"}),
    ],
)
def test_stacks_are_made_by_those_who_were_given_the_role_by_name(
    installed: ControlPlane, role: str, verbs: set[str]
) -> None:
    namespace = create_namespace(installed.admin, f"users-{role}")
    user = create_user(installed, namespace, role)
    eventually(lambda: find_allowed(user, [Action("get", OURS, "rlmstacks", namespace)]), "the role being in effect")
    asked = [
        Action(verb, OURS, resource, namespace)
        for resource in ("rlmstacks", "sandboxpools")
        for verb in ("get", "list", "watch", "create", "update", "patch", "delete")
    ]
    assert {action.verb for action in find_allowed(user, asked)} == verbs
    elsewhere = [Action(action.verb, OURS, action.resource, "default") for action in asked]
    assert find_allowed(user, elsewhere) == []
