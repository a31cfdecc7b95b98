"""RBAC of record: everything granted is used, and nothing was asked for that is not granted.

Collected last, so that it looks back at all that the operator did in this session; `everything_used` makes sure that it
is enough when this file runs alone.
"""

from __future__ import annotations

import datetime

import pytest

from rlm_operator.inputs import Inputs, choose_images
from rlm_operator.isolation.planning import due_run, policy_digest
from rlm_operator.kinds import APIS, OPTIONAL_CHILD_KINDS
from rlm_operator.render import render
from rlm_operator.resource import Pool, parse_resource
from tests.controlplane.audit import Request
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.optional_crds import install_crds
from tests.operator.integration.installation import Installation, Permission
from tests.operator.integration.kubelet import UNSCHEDULABLE, Kubelet
from tests.operator.integration.probe_pods import ISOLATED, finish_probe
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.integration.tenant import Tenant

HOST = {"host": "rlm.example.com"}
ROUTES = {"ingress": HOST, "httpRoute": {**HOST, "gatewayRef": {"name": "public"}}}
CERTIFIED = {"mode": "CertManager", "issuerRef": {"name": "pools"}}
OPTIONAL = {APIS[kind].plural for kind in OPTIONAL_CHILD_KINDS}


@pytest.fixture
def everything_used(control_plane: ControlPlane, installation: Installation, tenant: Tenant) -> None:
    """A stack with every kind of child, each repaired, made anew and, where a spec can ask for it, pruned."""
    install_crds(control_plane.admin)
    eventually(
        lambda: {request.resource for request in control_plane.audit.requests(user=installation.user)} >= OPTIONAL,
        "a list of each optional kind",
        timeout=180,  # an API server that takes in new CRDs refuses to answer for a while
    )
    scaled = {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}
    sandbox = {**scaled, "service": {"name": "wasm-repl-service"}, "tls": CERTIFIED}
    watched = {"monitoring": {"dashboard": True}}
    stack = build_stack("s", tenant.namespace, {"inference": {**scaled, **ROUTES}, "sandbox": sandbox, **watched})
    tenant.apply(stack)
    for resource in ("podmonitor", "prometheusrule"):
        tenant.expect(resource, "s-rlm")
    tenant.expect("configmap", "s-rlm-dashboard")
    for resource, name in (("horizontalpodautoscaler", "s-rlm"), ("horizontalpodautoscaler", "s-wasm")):
        tenant.expect(resource, name)
    for resource, name in (("serviceaccount", "s-rlm"), ("secret", "s-rlm-keys"), ("service", "s")):
        uid = tenant.expect(resource, name)["metadata"]["uid"]
        tenant.delete(resource, name)
        tenant.expect_another(resource, name, uid)
    # Names that somebody else has taken: what is there is looked at.
    own = {"inference": {**scaled, **ROUTES}, "sandbox": {"tls": CERTIFIED}}
    taken = build_stack("taken", tenant.namespace, own)
    children = render(parse_resource(taken), Inputs(choose_images(), served=frozenset(OPTIONAL_CHILD_KINDS)))
    tenant.apply(*(child for child in children if child["kind"] != "Secret"))
    tenant.apply(taken)
    tenant.expect_condition("rlmstack", "taken", "Degraded", "True")
    for resource, name in (
        ("ingress", "s-rlm"),
        ("httproute", "s-rlm"),
        ("service", "wasm-repl-service"),
        ("certificate", "s-rlm-sandbox-certificate"),
    ):
        tenant.expect(resource, name)
    tenant.patch("rlmstack", "s", {"spec": {"sandbox": {"service": None}}})
    tenant.expect_gone("service", "wasm-repl-service")
    kubelet = Kubelet(tenant, "s-wasm")
    kubelet.report(set(kubelet.pods()), UNSCHEDULABLE)
    tenant.expect_condition("sandboxpool", "s", "Progressing", "True", says="Insufficient memory")
    keda = {"autoscaling": {"provider": "KEDA", "maxReplicas": 4}}
    scaled_object = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "held-wasm"}}
    tenant.apply(
        {**scaled_object, "spec": {"scaleTargetRef": {"name": "other"}, "triggers": [{"type": "cpu", "metadata": {}}]}}
    )
    tenant.apply(build_pool("held", tenant.namespace, keda), build_pool("keda", tenant.namespace, keda))
    tenant.expect_condition("sandboxpool", "held", "Degraded", "True", says="ScaledObject/held-wasm")
    tenant.expect("scaledobject", "keda-wasm")
    tenant.patch("sandboxpool", "keda", {"spec": {"autoscaling": {"maxReplicas": 5}}})
    eventually(
        lambda: tenant.expect("scaledobject", "keda-wasm")["spec"]["maxReplicaCount"] == 5, "a changed ScaledObject"
    )
    tenant.patch("sandboxpool", "keda", {"spec": {"autoscaling": None}})
    for resource, name in (("scaledobject", "keda-wasm"), ("service", "keda-wasm-demand")):
        tenant.expect_gone(resource, name)
    tenant.apply(build_pool("other", tenant.namespace, {"replicas": 0}))
    changes = {
        "sandbox": None,
        "sandboxPoolRef": {"name": "other"},
        "networkPolicy": {"management": "Unmanaged"},
        "monitoring": {"enabled": "Never"},
        "inference": {"replicas": 0, "autoscaling": None, "auth": {"mode": "Disabled"}, **dict.fromkeys(ROUTES)},
    }
    probe_isolation(tenant)
    tenant.patch("rlmstack", "s", {"spec": changes})
    for resource, name in (
        ("sandboxpool", "s"),
        ("networkpolicy", "s-rlm"),
        ("poddisruptionbudget", "s-rlm"),
        ("horizontalpodautoscaler", "s-rlm"),
        ("secret", "s-rlm-keys"),
        ("certificate", "s-rlm-sandbox-certificate"),
        ("ingress", "s-rlm"),
        ("httproute", "s-rlm"),
        ("podmonitor", "s-rlm"),
        ("prometheusrule", "s-rlm"),
        ("configmap", "s-rlm-dashboard"),
    ):
        tenant.expect_gone(resource, name)


def probe_isolation(tenant: Tenant) -> None:
    """One pool whose network is tried, and one where somebody else has the name of a probe's Job."""
    tenant.apply(build_pool("probed", tenant.namespace, {"replicas": 1}))
    tenant.make_pods_ready("probed-wasm", 1)
    finish_probe(tenant, ISOLATED)
    tenant.expect_condition("sandboxpool", "probed", "IsolationVerified", "True")
    squatted = build_pool("squatted", tenant.namespace, {"replicas": 1})
    pool = parse_resource(squatted)
    assert isinstance(pool, Pool)
    policy = policy_digest(render(pool, Inputs(images=choose_images())))
    run = due_run(pool, None, policy, datetime.datetime.now(datetime.UTC))
    assert run is not None
    container = {"name": "c", "image": "i"}
    spec = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    metadata = {"name": f"squatted-wasm-probe-{run}-client", "namespace": tenant.namespace}
    tenant.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}, squatted)
    tenant.make_pods_ready("squatted-wasm", 1)
    tenant.expect_condition("sandboxpool", "squatted", "Degraded", "True", says="belongs to somebody else")


def test_nothing_was_asked_for_that_is_not_granted(
    control_plane: ControlPlane, installation: Installation, everything_used: None
) -> None:
    """An API server that has just started refuses also what is granted, until it has read the roles."""
    asked = control_plane.audit.requests(user=installation.user)
    granted = installation.permissions(control_plane.admin)
    assert asked
    refused = [request for request in asked if request.is_forbidden]
    assert [request for request in refused if not granted.issuperset(permissions_of(request))] == []


def test_everything_granted_is_used(
    control_plane: ControlPlane, installation: Installation, everything_used: None
) -> None:
    used = {
        permission
        for request in control_plane.audit.requests(user=installation.user)
        for permission in permissions_of(request)
    }
    assert sorted(installation.permissions(control_plane.admin) - used) == []


def permissions_of(request: Request) -> list[Permission]:
    """The rights that a request needed: server-side apply of an object that was not there needs `create` too.

    Whether the object of a refused one was there is not known: unless it was a subresource, it needed both.
    """
    needed = [(request.group, request.resource, request.verb)]
    may_create = request.code == 201 or (request.is_forbidden and "/" not in request.resource)
    if request.verb == "patch" and may_create:
        needed.append((request.group, request.resource, "create"))
    return needed


def test_secrets_can_not_be_listed_or_watched(control_plane: ControlPlane, installation: Installation) -> None:
    granted = {verb for _, resource, verb in installation.permissions(control_plane.admin) if resource == "secrets"}
    assert not granted & {"list", "watch", "deletecollection"}
