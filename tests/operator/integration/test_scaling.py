"""Who decides how many pods there are: the scale subresource, autoscalers, suspend and pause, without a tug-of-war."""

from __future__ import annotations

import json

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_pool, build_stack, merge
from tests.operator.integration.tenant import Tenant

AUTOSCALED: Object = {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}


def replicas(tenant: Tenant, deployment: str) -> int:
    count: int = tenant.expect("deployment", deployment)["spec"]["replicas"]
    return count


def expect_replicas(tenant: Tenant, deployment: str, count: int) -> None:
    tenant.expect("deployment", deployment)
    eventually(lambda: replicas(tenant, deployment) == count, f"{count} replicas of {deployment}")


def scale(tenant: Tenant, resource: str, name: str, count: int) -> None:
    """Through the scale subresource, as `kubectl scale` and autoscalers do."""
    tenant.kubectl.run("scale", resource, name, f"--replicas={count}", "-n", tenant.namespace)


def expect_scale(tenant: Tenant, plural: str, name: str, count: int) -> Object:
    """The scale of a custom resource as an autoscaler reads it that targets one, once it tells of `count` pods."""
    path = f"/apis/rlm-operator.dev/v1alpha1/namespaces/{tenant.namespace}/{plural}/{name}/scale"
    found: Object = {}

    def tells() -> bool:
        found.update(json.loads(tenant.kubectl.run("get", "--raw", path)))
        return (found["spec"]["replicas"], found["status"].get("replicas")) == (count, count)

    eventually(tells, f"{count} replicas in {path}")
    return found


def test_kubectl_scale_sets_the_pods_of_both_kinds_and_scale_answers_autoscalers(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace), build_pool("p", tenant.namespace))
    for resource, plural, name, deployment in (
        ("rlmstack", "rlmstacks", "s", "s-rlm"),
        ("sandboxpool", "sandboxpools", "p", "p-wasm"),
    ):
        expect_replicas(tenant, deployment, 3)
        scale(tenant, resource, name, 5)
        expect_replicas(tenant, deployment, 5)
        tenant.make_pods_ready(deployment, 5)
        found = expect_scale(tenant, plural, name, 5)
        pods = tenant.kubectl.list("pods", tenant.namespace, found["status"]["selector"])
        assert len(pods) == 5


def test_replicas_of_an_autoscaled_resource_are_the_number_to_start_with_and_no_more(tenant: Tenant) -> None:
    stack = build_stack("s", tenant.namespace, {"inference": {"replicas": 4, **AUTOSCALED}})
    tenant.apply(stack)
    expect_replicas(tenant, "s-rlm", 4)
    scale(tenant, "deployment", "s-rlm", 7)
    tenant.apply(merge(stack, {"spec": {"rlm": {"maxIterations": 11}}}))  # as GitOps does, replicas written
    eventually(lambda: tenant.expect("configmap", "s-rlm")["data"]["max-iterations"] == "11", "a later reconcile")
    scale(tenant, "rlmstack", "s", 1)
    expect_seen(tenant)
    assert replicas(tenant, "s-rlm") == 7
    assert holders(tenant, "s-rlm") == {"kubectl"}


def expect_seen(tenant: Tenant) -> None:
    """The operator has been through with the newest spec of the stack `s`."""

    def is_seen() -> bool:
        found = tenant.expect("rlmstack", "s")
        return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])

    eventually(is_seen, "the newest generation in the status")


def holders(tenant: Tenant, deployment: str) -> set[str]:
    """Field managers of the replica count."""
    entries = tenant.expect("deployment", deployment)["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if "f:replicas" in entry["fieldsV1"].get("f:spec", {})}


def test_the_operator_repeats_the_count_that_it_set_until_somebody_else_decides(tenant: Tenant) -> None:
    """A field that nobody owns would go back to its default, one pod."""
    tenant.apply(build_stack("s", tenant.namespace, {"inference": {"replicas": 4, **AUTOSCALED}}))
    expect_replicas(tenant, "s-rlm", 4)
    tenant.patch("rlmstack", "s", {"spec": {"inference": {"replicas": 2}, "rlm": {"maxIterations": 11}}})
    eventually(lambda: tenant.expect("configmap", "s-rlm")["data"]["max-iterations"] == "11", "a later reconcile")
    expect_seen(tenant)
    assert replicas(tenant, "s-rlm") == 4
    assert holders(tenant, "s-rlm") == {"rlm-operator"}


def test_a_count_set_while_the_operator_stood_still_is_not_undone_by_what_it_meant_to_write(
    tenant: Tenant, operator: OperatorProcess, control_plane: ControlPlane
) -> None:
    """It has seen 4 and writes other fields when an autoscaler says 8: the write is refused, and made anew."""
    tenant.apply(build_stack("s", tenant.namespace, {"inference": {"replicas": 4, **AUTOSCALED}}))
    expect_replicas(tenant, "s-rlm", 4)
    expect_seen(tenant)
    with operator.frozen():
        tenant.patch("rlmstack", "s", {"spec": {"rlm": {"maxIterations": 11}}})
        scale(tenant, "deployment", "s-rlm", 8)
    eventually(lambda: tenant.expect("configmap", "s-rlm")["data"]["max-iterations"] == "11", "a later reconcile")
    expect_seen(tenant)
    assert replicas(tenant, "s-rlm") == 8


def test_a_stack_is_suspended_with_its_pool_and_comes_back_as_it_was(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace, {"inference": {"replicas": 2}, "sandbox": AUTOSCALED}))
    expect_replicas(tenant, "s-rlm", 2)
    scale(tenant, "deployment", "s-wasm", 6)
    before = set(tenant.children())
    tenant.patch("rlmstack", "s", {"spec": {"suspend": True}})
    expect_replicas(tenant, "s-rlm", 0)
    expect_replicas(tenant, "s-wasm", 0)
    for resource in ("rlmstack", "sandboxpool"):
        tenant.expect_condition(resource, "s", "Suspended", "True", says="no pods run")
        tenant.expect_condition(resource, "s", "Ready", "False", says="Set suspend to false")
    assert set(tenant.children()) == before
    tenant.patch("rlmstack", "s", {"spec": {"suspend": False}})
    expect_replicas(tenant, "s-rlm", 2)
    expect_replicas(tenant, "s-wasm", 2)
    eventually(lambda: tenant.condition("sandboxpool", "s", "Suspended") is None, "no word of suspension")
    scale(tenant, "deployment", "s-wasm", 5)
    tenant.patch("rlmstack", "s", {"spec": {"sandbox": {"limits": {"maxQueue": 7}}}})
    eventually(lambda: tenant.expect("configmap", "s-wasm")["data"]["max-queue"] == "7", "a later reconcile")
    assert replicas(tenant, "s-wasm") == 5


def test_pods_added_to_a_suspended_resource_go_again(tenant: Tenant) -> None:
    tenant.apply(build_pool("p", tenant.namespace, {"suspend": True, **AUTOSCALED}))
    expect_replicas(tenant, "p-wasm", 0)
    scale(tenant, "deployment", "p-wasm", 3)
    expect_replicas(tenant, "p-wasm", 0)


def test_a_paused_resource_is_left_alone_until_it_goes_on(
    tenant: Tenant, operator: OperatorProcess, control_plane: ControlPlane
) -> None:
    tenant.apply(build_pool("p", tenant.namespace), build_pool("other", tenant.namespace))
    expect_replicas(tenant, "p-wasm", 3)
    tenant.expect("poddisruptionbudget", "p-wasm")
    tenant.patch("sandboxpool", "p", {"spec": {"paused": True}})
    eventually(lambda: condition_of(tenant, "Paused") == "True", "Paused")
    mark = control_plane.audit.mark()
    tenant.patch("sandboxpool", "p", {"spec": {"replicas": 1, "limits": {"maxQueue": 7}}})
    tenant.delete("poddisruptionbudget", "p-wasm")
    tenant.patch("sandboxpool", "other", {"spec": {"replicas": 1}})
    expect_replicas(tenant, "other-wasm", 1)  # it was served in the meantime
    written = control_plane.audit.writes(user=operator.user, since=mark)
    assert [request.resource for request in written if request.name.startswith("p")] == ["sandboxpools/status"]
    assert replicas(tenant, "p-wasm") == 3
    tenant.patch("sandboxpool", "p", {"spec": {"paused": False}})
    expect_replicas(tenant, "p-wasm", 1)
    tenant.expect("poddisruptionbudget", "p-wasm")
    eventually(lambda: condition_of(tenant, "Paused") is None, "no word of a pause")


def condition_of(tenant: Tenant, kind: str) -> str | None:
    """Status of a condition of the pool `p`, whichever generation the rest of its status speaks of."""
    conditions = tenant.expect("sandboxpool", "p").get("status", {}).get("conditions", [])
    return next((found["status"] for found in conditions if found["type"] == kind), None)


def test_what_kubectl_get_prints_tells_the_state_of_both_kinds(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace, {"inference": {"replicas": 1}, "sandbox": {"replicas": 1}}))
    for resource, deployment, what, url in (
        ("sandboxpool", "s-wasm", "stdlib", f"https://s-wasm.{tenant.namespace}.svc:8000"),
        ("rlmstack", "s-rlm", "gpt-5", f"http://s.{tenant.namespace}.svc"),
    ):
        tenant.make_pods_ready(deployment, 1)
        tenant.expect_condition(resource, "s", "Ready", "True")
        header, line = tenant.kubectl.run("get", resource, "s", "-n", tenant.namespace).splitlines()
        assert header.split()[:7] == ["NAME", "READY", "DESIRED", "AVAILABLE", header.split()[4], "URL", "REASON"]
        assert line.split()[:7] == ["s", "True", "1", "1", what, url, "Ready"]
    assert tenant.expect("sandboxpool", "s")["status"]["capacity"] == {"sessions": 83, "spares": 8}
