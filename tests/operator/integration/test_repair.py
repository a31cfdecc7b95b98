"""What keeps a stack as it was asked for: edits are undone, deleted children come back, what is not wanted goes."""

from __future__ import annotations

import pytest

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.integration.tenant import Tenant

AUTOSCALING: Object = {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}

EDITS: dict[str, tuple[str, str, Object]] = {
    "a setting": ("configmap", "s-rlm", {"data": {"max-iterations": "9999"}}),
    "a removed setting": ("configmap", "s-wasm", {"data": {"log-level": None}}),
    "a Service's port": ("service", "s", {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": 8000}]}}),
    "a Service's selector": ("service", "s-wasm", {"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
    "the number of pods": ("deployment", "s-rlm", {"spec": {"replicas": 7}}),
    "the sandbox's egress": ("networkpolicy", "s-wasm", {"spec": {"egress": [{}]}}),
    "the disruption budget": ("poddisruptionbudget", "s-rlm", {"spec": {"minAvailable": 0, "maxUnavailable": None}}),
    "the autoscaler's bounds": ("horizontalpodautoscaler", "s-wasm", {"spec": {"maxReplicas": 50}}),
    "a label": ("serviceaccount", "s-rlm", {"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}),
    "the operator's own label": (
        "networkpolicy",
        "s-wasm",
        {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
    ),
    "the container": (
        "deployment",
        "s-wasm",
        {"spec": {"template": {"spec": {"containers": [{"name": "sandbox", "image": "example.test/evil:1"}]}}}},
    ),
    "the pod's user": (
        "deployment",
        "s-rlm",
        {"spec": {"template": {"spec": {"securityContext": {"runAsNonRoot": False, "runAsUser": 0}}}}},
    ),
    "the owned pool": ("sandboxpool", "s", {"spec": {"limits": {"timeout": "59m"}}}),
    "the digest annotation": (
        "networkpolicy",
        "s-rlm",
        {"metadata": {"annotations": {"rlm-operator.dev/applied-hash": "0"}}},
    ),
}

CHILDREN = [
    ("serviceaccount", "s-rlm"),
    ("configmap", "s-rlm"),
    ("networkpolicy", "s-rlm"),
    ("service", "s"),
    ("service", "s-rlm-pods"),
    ("deployment", "s-rlm"),
    ("poddisruptionbudget", "s-rlm"),
    ("sandboxpool", "s"),
    ("service", "s-wasm-pods"),
    ("deployment", "s-wasm"),
    ("horizontalpodautoscaler", "s-wasm"),
]

SECRET_POLL_SECONDS = 90.0  # the operator looks at Secrets every 60 s, and with every other change of the resource


@pytest.fixture
def stack(tenant: Tenant) -> Tenant:
    """A namespace with the stack `s`, complete."""
    tenant.apply(build_stack("s", tenant.namespace, {"sandbox": AUTOSCALING}))
    for resource, name in CHILDREN:
        tenant.expect(resource, name)
    return tenant


def test_every_edited_child_is_repaired(stack: Tenant) -> None:
    originals = {case: stack.expect(resource, name) for case, (resource, name, _) in EDITS.items()}
    for case, (resource, name, patch) in EDITS.items():
        stack.patch(resource, name, patch)
        expect_repair(stack, resource, originals[case], case)


def expect_repair(stack: Tenant, resource: str, original: Object, case: str) -> None:
    name = original["metadata"]["name"]
    eventually(lambda: content(stack.expect(resource, name)) == content(original), f"the repair of {case}")


def content(child: Object) -> Object:
    """All but bookkeeping."""
    kept = {key: value for key, value in child.items() if key not in {"metadata", "status"}}
    metadata = child["metadata"]
    annotations = metadata.get("annotations", {})
    digest = annotations.get("rlm-operator.dev/applied-hash")
    return {**kept, "labels": metadata.get("labels"), "digest": digest, "owners": metadata.get("ownerReferences")}


def test_what_others_add_to_a_child_stays(stack: Tenant) -> None:
    stack.patch("configmap", "s-rlm", {"metadata": {"labels": {"team": "blue"}}, "data": {"theirs": "kept"}})
    stack.patch("configmap", "s-rlm", {"data": {"max-iterations": "9999"}})
    eventually(lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "30", "the repair")
    child = stack.expect("configmap", "s-rlm")
    assert (child["metadata"]["labels"]["team"], child["data"]["theirs"]) == ("blue", "kept")


def test_every_deleted_child_is_made_again(stack: Tenant) -> None:
    for resource, name in CHILDREN:
        before = stack.expect(resource, name)["metadata"]["uid"]
        stack.delete(resource, name)
        stack.expect_another(resource, name, before)


def test_a_deleted_secret_is_made_again_although_secrets_are_not_watched(stack: Tenant) -> None:
    before = stack.expect("secret", "s-rlm-keys")["metadata"]["uid"]
    stack.delete("secret", "s-rlm-keys")
    stack.expect_another("secret", "s-rlm-keys", before, SECRET_POLL_SECONDS)


def test_an_autoscaler_goes_with_its_setting_and_the_replicas_hold_again(stack: Tenant) -> None:
    stack.patch("rlmstack", "s", {"spec": {"sandbox": {"autoscaling": None, "replicas": 1}}})
    stack.expect_gone("horizontalpodautoscaler", "s-wasm")
    eventually(lambda: stack.expect("deployment", "s-wasm")["spec"]["replicas"] == 1, "one sandbox pod")


def test_an_autoscaler_of_the_stack_itself_comes_and_goes(stack: Tenant) -> None:
    stack.patch("rlmstack", "s", {"spec": {"inference": AUTOSCALING}})
    scaler = stack.expect("horizontalpodautoscaler", "s-rlm")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)
    assert scaler["spec"]["scaleTargetRef"]["name"] == "s-rlm"
    stack.patch("rlmstack", "s", {"spec": {"inference": {"autoscaling": None}}})
    stack.expect_gone("horizontalpodautoscaler", "s-rlm")


def test_the_operator_leaves_the_replicas_to_an_autoscaler(stack: Tenant) -> None:
    stack.patch("rlmstack", "s", {"spec": {"inference": AUTOSCALING}})
    stack.expect("horizontalpodautoscaler", "s-rlm")
    scale(stack, 4)
    stack.patch("rlmstack", "s", {"spec": {"rlm": {"maxIterations": 11}}})
    eventually(lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "11", "a later reconcile")
    stack.expect_condition("rlmstack", "s", "Ready", "False")
    assert stack.expect("deployment", "s-rlm")["spec"]["replicas"] == 4


def scale(stack: Tenant, replicas: int) -> None:
    """Sets the replicas as an autoscaler does: through the scale subresource."""
    stack.kubectl.run("scale", "deployment", "s-rlm", f"--replicas={replicas}", "-n", stack.namespace)


def test_children_that_are_no_longer_wanted_go(stack: Tenant) -> None:
    stack.apply(build_pool("shared", stack.namespace))
    changes = {
        "sandbox": None,
        "sandboxPoolRef": {"name": "shared"},
        "networkPolicy": {"management": "Unmanaged"},
        "inference": {"replicas": 0, "auth": {"mode": "Disabled"}},
    }
    stack.patch("rlmstack", "s", {"spec": changes})
    gone = [
        ("sandboxpool", "s"),
        ("deployment", "s-wasm"),
        ("networkpolicy", "s-rlm"),
        ("poddisruptionbudget", "s-rlm"),
        ("secret", "s-rlm-keys"),
    ]
    for resource, name in gone:
        stack.expect_gone(resource, name)
    assert stack.get("deployment", "s-rlm") is not None


def test_a_generated_secret_stays_when_the_spec_names_it(stack: Tenant) -> None:
    before = stack.expect("secret", "s-rlm-keys")["metadata"]["uid"]
    stack.patch("rlmstack", "s", {"spec": {"inference": {"auth": {"secretRef": {"name": "s-rlm-keys"}}}}})
    stack.patch("rlmstack", "s", {"spec": {"rlm": {"maxIterations": 12}}})
    eventually(lambda: stack.expect("configmap", "s-rlm")["data"]["max-iterations"] == "12", "a later reconcile")
    stack.expect_condition("rlmstack", "s", "SecretsReady", "True")
    assert stack.expect("secret", "s-rlm-keys")["metadata"]["uid"] == before


def test_a_deleted_stack_takes_everything_along(stack: Tenant) -> None:
    eventually(lambda: stack.kubectl.list("pods", stack.namespace), "its pods")
    stack.delete("rlmstack", "s")
    stack.expect_children(set())
    eventually(lambda: not stack.kubectl.list("pods,replicasets.apps", stack.namespace), "pods being gone")


def test_a_deleted_namespace_goes_while_the_operator_watches(stack: Tenant) -> None:
    stack.kubectl.delete("namespace", stack.namespace)
    eventually(lambda: stack.kubectl.get("namespace", stack.namespace) is None, "the namespace being gone")


def test_a_stack_made_again_under_the_same_name_gets_children_of_its_own(stack: Tenant) -> None:
    old = stack.expect("deployment", "s-rlm")["metadata"]["uid"]
    stack.delete("rlmstack", "s")
    stack.expect_gone("rlmstack", "s")
    stack.apply(build_stack("s", stack.namespace))
    stack.expect_another("deployment", "s-rlm", old)
    new_owner = stack.expect("rlmstack", "s")["metadata"]["uid"]
    eventually(
        lambda: owners(stack.expect("deployment", "s-rlm")) == owners(stack.expect("service", "s")) == [new_owner],
        "children of the new stack",
    )


def owners(child: Object) -> list[str]:
    return [reference["uid"] for reference in child["metadata"]["ownerReferences"]]
