"""What somebody with rights on RLMStacks only can make the operator do, and what not (docs/threat-model.md).

`mallory` is an account of the test's namespace that may write RLMStacks there and nothing else.
"""

from __future__ import annotations

import json

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import KubectlError
from tests.controlplane.kubectl import Kubectl, Object
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Tenant

ACCOUNT = "mallory"
VERBS = "get,list,watch,create,update,patch,delete"
FORBIDDEN = ("pods", "deployments.apps", "secrets", "services", "configmaps", "ingresses.networking.k8s.io")
LOOSENINGS: dict[str, Object] = {
    "a host path": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
    "a container of one's own": {"initContainers": [{"name": "x", "image": "evil"}]},
    "the host's network": {"hostNetwork": True},
    "another account": {"serviceAccountName": "default", "automountServiceAccountToken": True},
    "root": {"securityContext": {"runAsUser": 0}},
}
SPOOFS: dict[str, Object] = {
    "the label of another Service": {"labels": {"app": "payments"}},
    "the label of another stack": {"labels": {"app.kubernetes.io/instance": "other"}},
    "the label of another's network policy": {"labels": {"rlm-operator.dev/network": "other-wasm"}},
    "a second network": {"annotations": {"k8s.v1.cni.cncf.io/networks": "flat"}},
    "a control-plane node": {"tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]},
    "the cluster's own priority": {"priorityClassName": "system-node-critical"},
}


@pytest.fixture
def mallory(tenant: Tenant, control_plane: ControlPlane) -> Kubectl:
    scope = ("-n", tenant.namespace)
    tenant.kubectl.run("create", "serviceaccount", ACCOUNT, *scope)
    resource = "--resource=rlmstacks.rlm-operator.dev"
    tenant.kubectl.run("create", "role", ACCOUNT, f"--verb={VERBS}", resource, *scope)
    account = f"--serviceaccount={tenant.namespace}:{ACCOUNT}"
    tenant.kubectl.run("create", "rolebinding", ACCOUNT, f"--role={ACCOUNT}", account, *scope)
    return control_plane.kubectl(control_plane.service_account_kubeconfig(tenant.namespace, ACCOUNT))


def stack(tenant: Tenant, template: Object | None = None, **changes: object) -> Object:
    return build_stack("s", tenant.namespace, {"inference": {"podTemplate": template or {}}, **changes})


def test_rights_on_stacks_are_no_rights_on_what_the_operator_makes(tenant: Tenant, mallory: Kubectl) -> None:
    mallory.apply(stack(tenant))
    tenant.expect("deployment", "s-rlm")
    for resource in FORBIDDEN:
        with pytest.raises(KubectlError, match="forbidden"):
            mallory.run("get", resource, "-n", tenant.namespace)


@pytest.mark.parametrize("case", LOOSENINGS)
def test_a_field_that_would_loosen_a_pod_is_refused_and_without_that_check_dropped(
    tenant: Tenant, mallory: Kubectl, case: str
) -> None:
    hostile = stack(tenant, LOOSENINGS[case])
    with pytest.raises(KubectlError, match="unknown field"):
        mallory.apply(hostile)
    mallory.apply(hostile, "--validate=false")
    pod = tenant.expect("deployment", "s-rlm")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "s-rlm"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not {"hostNetwork", "initContainers"} & pod.keys()
    assert "hostPath" not in json.dumps(pod)


@pytest.mark.parametrize("case", SPOOFS)
def test_a_template_that_reaches_for_what_is_others_is_refused(tenant: Tenant, mallory: Kubectl, case: str) -> None:
    for checked in ((), ("--validate=false",)):
        with pytest.raises(KubectlError, match=r"podTemplate"):
            mallory.apply(stack(tenant, SPOOFS[case]), *checked)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/v1", "http://[fe80::1]/v1"])
def test_the_metadata_service_is_refused_as_a_model(tenant: Tenant, mallory: Kubectl, url: str) -> None:
    with pytest.raises(KubectlError, match="link-local"):
        mallory.apply(stack(tenant, model={"baseURL": url}))


def test_a_secret_of_the_namespace_can_be_named_and_is_mounted_but_never_shown(
    tenant: Tenant, mallory: Kubectl
) -> None:
    """Without --secret-opt-in; with it: test_network.py."""
    tenant.create_secret("payroll", password="hunter2")
    mallory.apply(stack(tenant, model={"apiKeySecretRef": {"name": "payroll", "key": "password"}}))
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True")
    volumes = tenant.expect("deployment", "s-rlm")["spec"]["template"]["spec"]["volumes"]
    assert "payroll" in {volume.get("secret", {}).get("secretName") for volume in volumes}
    seen = mallory.run("get", "rlmstack", "s", "-n", tenant.namespace, "-o", "yaml")
    assert "hunter2" not in seen


def test_a_secret_of_another_namespace_can_not_be_named(tenant: Tenant, mallory: Kubectl) -> None:
    reference = {"apiKeySecretRef": {"name": "payroll", "namespace": "kube-system"}}
    with pytest.raises(KubectlError, match="unknown field"):
        mallory.apply(stack(tenant, model=reference))


def test_a_service_of_another_team_is_neither_taken_over_nor_led_to_ones_own_pods(
    tenant: Tenant, mallory: Kubectl
) -> None:
    tenant.kubectl.run("create", "service", "clusterip", "payments", "--tcp=80:8080", "-n", tenant.namespace)
    before = tenant.expect("service", "payments")
    mallory.apply(stack(tenant, sandbox={"service": {"name": "payments"}}))
    tenant.expect_condition("sandboxpool", "s", "Degraded", "True", says="Service/payments")
    named_alike = stack(tenant)
    named_alike["metadata"]["name"] = "payments"
    mallory.apply(named_alike)
    tenant.expect_condition("rlmstack", "payments", "Degraded", "True", says="Service/payments")
    mallory.run("delete", "rlmstack", "s", "payments", "-n", tenant.namespace)
    tenant.expect_gone("deployment", "payments-rlm")
    after = tenant.expect("service", "payments")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_stack_can_not_be_written_into_another_namespace(tenant: Tenant, mallory: Kubectl) -> None:
    with pytest.raises(KubectlError, match="forbidden"):
        mallory.apply(build_stack("s", "default"))


def test_annotations_of_an_ingress_do_not_reach_into_its_controller(tenant: Tenant, mallory: Kubectl) -> None:
    snippet = {"nginx.ingress.kubernetes.io/server-snippet": "return 200;"}
    inference = {"ingress": {"host": "rlm.example.com", "annotations": snippet}}
    with pytest.raises(KubectlError, match="work with the rights of the controller"):
        mallory.apply(build_stack("s", tenant.namespace, {"inference": inference}))
