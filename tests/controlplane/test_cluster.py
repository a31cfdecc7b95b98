"""The control plane is a real one: identities, RBAC, admission, controllers, audit, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.controlplane.binaries import locate
from tests.controlplane.cluster import ControlPlane, create_namespace
from tests.controlplane.errors import KubectlError
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Kubectl, Object


def config_map(name: str, namespace: str, owner: Object | None = None) -> Object:
    metadata: Object = {"name": name, "namespace": namespace}
    if owner is not None:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"]}
        metadata["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"]}]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def deployment(name: str, namespace: str, replicas: int) -> Object:
    labels = {"app": name}
    container = {"name": "main", "image": "example.test/none:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def account(control_plane: ControlPlane, namespace: str, name: str) -> Kubectl:
    control_plane.admin.run("create", "serviceaccount", name, "-n", namespace)
    return control_plane.kubectl(control_plane.service_account_kubeconfig(namespace, name))


def test_admin_is_who_the_certificate_says(control_plane: ControlPlane) -> None:
    assert "admin" in control_plane.admin.run("auth", "whoami")


def test_a_token_makes_its_service_account_and_rbac_refuses_it_without_a_role(control_plane: ControlPlane) -> None:
    namespace = create_namespace(control_plane.admin, "rbac")
    reader = account(control_plane, namespace, "reader")
    assert "system:serviceaccount:rbac:reader" in reader.run("auth", "whoami")
    with pytest.raises(KubectlError, match="configmaps is forbidden"):
        reader.list("configmaps", namespace)


def test_a_role_opens_exactly_what_it_names(control_plane: ControlPlane) -> None:
    namespace = create_namespace(control_plane.admin, "role")
    reader = account(control_plane, namespace, "reader")
    scope = ("-n", namespace)
    control_plane.admin.run("create", "role", "read", "--verb=get,list", "--resource=configmaps", *scope)
    control_plane.admin.run(
        "create", "rolebinding", "read", "--role=read", f"--serviceaccount={namespace}:reader", *scope
    )
    eventually(lambda: can(reader, "list", "configmaps", namespace), "the role being in effect")
    assert not can(reader, "delete", "configmaps", namespace)


def can(who: Kubectl, verb: str, resource: str, namespace: str) -> bool:
    try:
        return who.run("auth", "can-i", verb, resource, "-n", namespace).strip() == "yes"
    except KubectlError:
        return False


def test_an_owned_object_is_collected_when_its_owner_goes(control_plane: ControlPlane) -> None:
    namespace = create_namespace(control_plane.admin, "collected")
    control_plane.admin.apply(config_map("owner", namespace))
    owner = control_plane.admin.get("configmap", "owner", namespace)
    assert owner is not None
    control_plane.admin.apply([config_map("owned", namespace, owner), config_map("other", namespace)])
    control_plane.admin.delete("configmap", "owner", namespace)
    eventually(
        lambda: control_plane.admin.get("configmap", "owned", namespace) is None, "the owned ConfigMap being gone"
    )
    assert control_plane.admin.get("configmap", "other", namespace) is not None


def test_a_deployment_gets_its_pods_which_stay_pending_without_a_kubelet(control_plane: ControlPlane) -> None:
    namespace = create_namespace(control_plane.admin, "pods")
    control_plane.admin.apply(deployment("web", namespace, 2))
    pods = eventually(lambda: has_two(control_plane.admin.list("pods", namespace)), "two pods")
    assert {pod["status"]["phase"] for pod in pods} == {"Pending"}


def has_two(objects: list[Object]) -> list[Object]:
    return objects if len(objects) == 2 else []


def test_the_audit_log_counts_writes_by_user_and_shows_what_was_forbidden(control_plane: ControlPlane) -> None:
    namespace = create_namespace(control_plane.admin, "audited")
    someone = account(control_plane, namespace, "someone")
    before = control_plane.audit.mark()
    control_plane.admin.apply(config_map("counted", namespace))
    with pytest.raises(KubectlError):
        someone.list("secrets", namespace)
    [write] = control_plane.audit.writes(user="admin", since=before)
    assert (write.verb, write.resource, write.name, write.code) == ("create", "configmaps", "counted", 201)
    asked = control_plane.audit.requests(user=f"system:serviceaccount:{namespace}:someone", since=before)
    assert [(r.verb, r.resource) for r in asked if r.is_forbidden] == [("list", "secrets")]


def test_a_stopped_control_plane_leaves_no_process_and_no_data(tmp_path: Path) -> None:
    with ControlPlane(locate(), tmp_path / "second") as second:
        pids = second.pids
        assert len(pids) == 3
        assert second.admin.get("namespace", "default") is not None
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and os.getpgid(pid) >= 0]
    assert not (tmp_path / "second" / "etcd").exists()
