"""Others at work on the same objects: managers that take children over, admission policies, users of many minds."""

from __future__ import annotations

import asyncio

import pytest

from rlm_operator.cluster import Access, open_cluster
from rlm_operator.kinds import Ref
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import KubectlError
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.recoveries import Recoveries
from tests.operator.integration.samples import build_stack
from tests.operator.integration.tenant import Tenant
from tests.operator.integration.test_quiet import await_silence, writes

FLAPS = 1000
FREQUENT_SECONDS = 2
ROUTES = "httproutes.gateway.networking.k8s.io"


@pytest.fixture
def stack(tenant: Tenant) -> Tenant:
    """A namespace with the stack `s`."""
    tenant.apply(build_stack("s", tenant.namespace))
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True")
    tenant.expect("deployment", "s-wasm")
    return tenant


def test_fields_that_another_manager_takes_by_force_are_taken_back(stack: Tenant, recoveries: Recoveries) -> None:
    theirs: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "s-rlm", "namespace": stack.namespace},
        "data": {"max-iterations": "9999", "theirs": "kept"},
    }
    stack.kubectl.apply(theirs, "--server-side", "--force-conflicts", "--field-manager=another")
    with recoveries.measure("fields of a child taken over by another manager"):
        eventually(lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "30", "the repair")
    assert stack.expect("configmap", "s-rlm")["data"]["theirs"] == "kept"


def test_a_child_that_another_owner_adopts_is_let_go_and_told_and_made_anew_when_it_is_free(
    stack: Tenant, recoveries: Recoveries
) -> None:
    stack.kubectl.run("create", "configmap", "adopter", "-n", stack.namespace)
    uid = stack.expect("configmap", "adopter")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "adopter", "uid": uid, "controller": True}
    stack.patch("configmap", "s-rlm", {"metadata": {"ownerReferences": [owner]}, "data": {"max-iterations": "9999"}})
    condition = stack.expect_condition("rlmstack", "s", "Ready", "False", says="s-rlm")
    assert condition["reason"] == "NameConflict"
    assert stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "9999"
    with recoveries.measure("child adopted by another owner, from its end until ours is back"):
        stack.delete("configmap", "adopter")
        eventually(lambda: is_ours(stack), "our ConfigMap")
    stack.patch("rlmstack", "s", {"spec": {"rlm": {"maxIterations": 31}}})
    eventually(lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "31", "a change")


def is_ours(stack: Tenant) -> bool:
    found = stack.get("configmap", "s-rlm")
    return found is not None and found["data"]["max-iterations"] == "30"


def test_a_rotated_secret_of_the_user_rolls_no_pods_and_troubles_nobody(tenant: Tenant) -> None:
    tenant.create_secret("llm-secrets", api_key="sk-one")
    model = {"model": {"apiKeySecretRef": {"name": "llm-secrets", "key": "api-key"}}}
    tenant.apply(build_stack("s", tenant.namespace, model))
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True")
    before = tenant.expect("deployment", "s-rlm")["metadata"]["generation"]
    tenant.patch("secret", "llm-secrets", {"stringData": {"api-key": "sk-two"}})
    tenant.patch("rlmstack", "s", {"spec": {"inference": {"service": {"port": 81}}}})
    eventually(lambda: tenant.expect("service", "s")["spec"]["ports"][0]["port"] == 81, "a later reconcile")
    tenant.expect_condition("rlmstack", "s", "SecretsReady", "True")
    assert tenant.expect("deployment", "s-rlm")["metadata"]["generation"] == before


def test_an_admission_policy_that_refuses_a_child_is_told_and_its_end_is_noticed(
    tenant: Tenant, control_plane: ControlPlane, recoveries: Recoveries
) -> None:
    name, words = f"no-services-{tenant.namespace}", "Services are not allowed here: ask the platform team"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"], "operations": ["CREATE"]}]
    selector = {"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}}
    policy: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules, "namespaceSelector": selector},
            "validations": [{"expression": "false", "message": words}],
        },
    }
    binding: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    control_plane.admin.apply([policy, binding])
    probe: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "probe", "namespace": tenant.namespace},
        "spec": {"ports": [{"port": 80}]},
    }
    eventually(lambda: is_refused(tenant, probe), "the policy being in effect")
    tenant.apply(build_stack("s", tenant.namespace))
    tenant.expect_condition("rlmstack", "s", "Ready", "False", says=words)
    tenant.expect("deployment", "s-rlm")
    with recoveries.measure("an admission policy that refused a child, from its end until the child is there"):
        control_plane.admin.delete("validatingadmissionpolicybinding", name)
        control_plane.admin.delete("validatingadmissionpolicy", name)
        tenant.expect("service", "s")


def is_refused(tenant: Tenant, manifest: Object) -> bool:
    try:
        tenant.kubectl.apply(manifest, "--dry-run=server")
    except KubectlError:
        return True
    return False


def test_a_stack_that_changes_a_thousand_times_ends_as_it_was_last_asked_for(
    stack: Tenant, control_plane: ControlPlane, operator: OperatorProcess, recoveries: Recoveries
) -> None:
    key = stack.expect("secret", "s-wasm-keys")["data"]
    mark = control_plane.audit.mark()
    asyncio.run(flap(control_plane, stack.namespace))
    with recoveries.measure(f"a stack changed {FLAPS} times, from the last change until it is as asked for"):
        eventually(
            lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == str(FLAPS), "the last setting"
        )
        stack.expect_gone("horizontalpodautoscaler", "s-wasm")
        stack.expect_gone("networkpolicy", "s-rlm")
    await_silence(control_plane, operator)
    assert key.items() <= stack.expect("secret", "s-wasm-keys")["data"].items()
    last = stack.expect("rlmstack", "s")
    assert last["status"]["observedGeneration"] == last["metadata"]["generation"]
    written = writes(control_plane, operator, mark)
    assert len([request for request in written if request.resource == "rlmstacks/status"]) <= FLAPS
    assert [request for request in written if request.code >= 500] == []


async def flap(control_plane: ControlPlane, namespace: str) -> None:
    """Children come and go with every change; the last one asks for no autoscaler and no policy."""
    cluster = await open_cluster(Access(control_plane.admin.kubeconfig))
    scaled = {"minReplicas": 2, "maxReplicas": 5}
    try:
        for number in range(1, FLAPS + 1):
            even = number % 2 == 0
            spec = {
                "rlm": {"maxIterations": number},
                "sandbox": {"autoscaling": None if even else scaled},
                "networkPolicy": {"management": "Unmanaged" if even else "Managed"},
            }
            await cluster.merge(Ref("RLMStack", namespace, "s"), {"spec": spec})
    finally:
        await cluster.close()


def test_an_optional_api_that_comes_and_goes_is_noticed_and_disturbs_nobody(
    stack: Tenant, control_plane: ControlPlane, operator: OperatorProcess, recoveries: Recoveries
) -> None:
    was_there = control_plane.admin.get("customresourcedefinition", ROUTES) is not None
    remove_crds(control_plane.admin, "gateway")
    operator.stop()
    operator.start(resync_seconds=FREQUENT_SECONDS)
    with recoveries.measure(f"an optional API appears, looked for every {FREQUENT_SECONDS} s"):
        install_crds(control_plane.admin, "gateway")
        eventually(lambda: "HTTPRoute" in told_apis(operator), "the new API")
    with recoveries.measure("an optional API vanishes, likewise"):
        remove_crds(control_plane.admin, "gateway")
        eventually(lambda: "HTTPRoute" not in told_apis(operator), "the end of the API")
    stack.patch("rlmstack", "s", {"spec": {"rlm": {"maxIterations": 32}}})
    eventually(lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "32", "a change")
    assert operator.fetch("/healthz") == "ok\n"
    if was_there:
        install_crds(control_plane.admin, "gateway")
    operator.restart()


def told_apis(operator: OperatorProcess) -> str:
    """The operator's last line about optional APIs."""
    lines = [line for line in operator.log_text().splitlines() if "optional APIs: " in line]
    return lines[-1] if lines else ""
