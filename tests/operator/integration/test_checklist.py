"""The security checklist on a real API server: published in the status, and judged anew by `rlmctl verify`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.integration.tenant import Tenant

DIGESTS = "ImagesPinnedByDigest"
SIDECAR: Object = {"name": "helper", "image": "registry.test/helper@sha256:" + "0" * 64}


def published(tenant: Tenant, resource: str, name: str) -> dict[str, Any]:
    """Item to its entry in the status."""
    checklist = (tenant.get(resource, name) or {}).get("status", {}).get("checklist", [])
    return {entry["item"]: entry for entry in checklist}


def expect_failing(tenant: Tenant, resource: str, name: str, items: set[str]) -> dict[str, Any]:
    """The checklist, once these items of it do not hold, and no other."""
    seen: dict[str, Any] = {}

    def is_so() -> bool:
        seen.clear()
        seen.update(published(tenant, resource, name))
        return bool(seen) and {item for item, entry in seen.items() if not entry["passed"]} == items

    try:
        eventually(is_so, f"{items} alone failing for {resource} {name}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from error
    return seen


def verify(control_plane: ControlPlane, tenant: Tenant, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rlmctl", "verify", "-n", tenant.namespace, *arguments]
    command += ["--kubeconfig", str(control_plane.admin.kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def verify_json(control_plane: ControlPlane, tenant: Tenant, name: str) -> dict[tuple[str, str], Any]:
    """Kind and item to entry."""
    printed = json.loads(verify(control_plane, tenant, name, "--output", "json").stdout)
    return {(found["kind"], entry["item"]): entry for found in printed["resources"] for entry in found["checklist"]}


def test_a_new_stack_and_its_pool_pass_all_but_the_digests_of_images(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    stack = expect_failing(tenant, "rlmstack", "s", {DIGESTS})
    pool = expect_failing(tenant, "sandboxpool", "s", {DIGESTS})
    assert len(stack) == 10
    assert set(stack) - set(pool) == {"LLMKeysInSecretsOnly"}
    assert "a tag that can be moved" in stack[DIGESTS]["message"]


def test_a_container_that_somebody_put_into_the_deployment_is_named_until_it_is_gone(tenant: Tenant) -> None:
    """Server-side apply leaves items of others in a list, so the operator can not put this right by itself."""
    tenant.apply(build_stack("s", tenant.namespace))
    expect_failing(tenant, "rlmstack", "s", {DIGESTS})
    added: Object = {"spec": {"template": {"spec": {"containers": [SIDECAR]}}}}
    tenant.kubectl.run(
        "patch", "deployment", "s-wasm", "-n", tenant.namespace, "--type=strategic", f"--patch={json.dumps(added)}"
    )
    weak = {DIGESTS, "LimitsOnAllContainers", "NoPrivilegedContainers"}
    expect_failing(tenant, "sandboxpool", "s", weak)
    stack = expect_failing(tenant, "rlmstack", "s", weak)
    assert (
        "Deployment s-wasm: container helper has no cpu and no memory limit"
        in stack["LimitsOnAllContainers"]["message"]
    )
    removed: Object = {"spec": {"template": {"spec": {"containers": [{"name": "helper", "$patch": "delete"}]}}}}
    tenant.kubectl.run(
        "patch", "deployment", "s-wasm", "-n", tenant.namespace, "--type=strategic", f"--patch={json.dumps(removed)}"
    )
    expect_failing(tenant, "rlmstack", "s", {DIGESTS})


def test_what_the_user_turned_off_is_told(tenant: Tenant) -> None:
    changes: Object = {"networkPolicy": {"management": "Unmanaged"}, "logging": {"audit": False}}
    tenant.apply(build_stack("s", tenant.namespace, changes))
    stack = expect_failing(tenant, "rlmstack", "s", {DIGESTS, "PoliciesRestrictTraffic", "AuditLoggingOn"})
    assert "no NetworkPolicy restricts the ingress of s-rlm" in stack["PoliciesRestrictTraffic"]["message"]


def test_verify_judges_without_the_operators_word_and_tells_with_its_exit_status(
    tenant: Tenant, control_plane: ControlPlane
) -> None:
    tenant.apply(build_stack("s", tenant.namespace), build_pool("other", tenant.namespace))
    expect_failing(tenant, "rlmstack", "s", {DIGESTS})
    expect_failing(tenant, "sandboxpool", "other", {DIGESTS})
    printed = verify(control_plane, tenant)
    assert printed.returncode == 5
    for heading in (
        "RLMStack {}/s: 9 of 10 hold",
        "SandboxPool {}/s: 8 of 9 hold",
        "SandboxPool {}/other: 8 of 9 hold",
    ):
        assert heading.format(tenant.namespace) in printed.stdout
    entry = verify_json(control_plane, tenant, "s")["RLMStack", DIGESTS]
    assert (entry["passed"], entry["published"]) == (False, False)


def test_verify_sees_what_admission_put_into_pods_and_the_policies_of_others(
    tenant: Tenant, control_plane: ControlPlane
) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    expect_failing(tenant, "rlmstack", "s", {DIGESTS})
    template = tenant.expect("deployment", "s-wasm")["spec"]["template"]
    helper = {**SIDECAR, "securityContext": template["spec"]["containers"][0]["securityContext"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "injected", "namespace": tenant.namespace, "labels": template["metadata"]["labels"]},
        "spec": {**template["spec"], "containers": [*template["spec"]["containers"], helper]},
    }
    opening = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "opening", "namespace": tenant.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    tenant.apply(pod, opening)
    found = verify_json(control_plane, tenant, "s")
    limits, traffic = found["RLMStack", "LimitsOnAllContainers"], found["SandboxPool", "PoliciesRestrictTraffic"]
    assert (limits["passed"], limits["published"]) == (False, True)
    assert "pod injected: container helper has no cpu" in limits["message"]
    assert "NetworkPolicy opening lets sandboxes connect out" in traffic["message"]
    assert "The status says that it holds" in verify(control_plane, tenant, "s").stdout


def test_verify_of_what_does_not_exist_says_where_it_looked(tenant: Tenant, control_plane: ControlPlane) -> None:
    missing = verify(control_plane, tenant, "nobody")
    assert missing.returncode == 2
    assert f'no RLMStack or SandboxPool "nobody" in namespace "{tenant.namespace}"' in missing.stderr
