"""The kinds of objects that the operator handles: where the API serves them, and how one object is named.

A static table instead of discovery: the operator asks for exactly what its RBAC rules list. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rlm_operator.names import API_VERSION
from rlm_operator.resource import Kind


@dataclass(frozen=True)
class Api:
    """`version` is the apiVersion, such as `apps/v1`."""

    version: str
    plural: str

    @property
    def group(self) -> str:
        return self.version.partition("/")[0] if "/" in self.version else ""

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection (no name), over all namespaces (None), or of one object."""
        parts = ["/api" if self.group == "" else "/apis", self.version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [self.plural, *([name] if name else []), *([subresource] if subresource else [])]
        return "/".join(parts)


APIS: Final[Mapping[str, Api]] = {
    Kind.STACK: Api(API_VERSION, "rlmstacks"),
    Kind.POOL: Api(API_VERSION, "sandboxpools"),
    "ServiceAccount": Api("v1", "serviceaccounts"),
    "ConfigMap": Api("v1", "configmaps"),
    "Secret": Api("v1", "secrets"),
    "Service": Api("v1", "services"),
    "Deployment": Api("apps/v1", "deployments"),
    "Ingress": Api("networking.k8s.io/v1", "ingresses"),
    "NetworkPolicy": Api("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": Api("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": Api("autoscaling/v2", "horizontalpodautoscalers"),
    "Pod": Api("v1", "pods"),
    "Job": Api("batch/v1", "jobs"),
    "Node": Api("v1", "nodes"),
    "EndpointSlice": Api("discovery.k8s.io/v1", "endpointslices"),
    "Event": Api("events.k8s.io/v1", "events"),
    "Lease": Api("coordination.k8s.io/v1", "leases"),
    "ScaledObject": Api("keda.sh/v1alpha1", "scaledobjects"),
    "PodMonitor": Api("monitoring.coreos.com/v1", "podmonitors"),
    "PrometheusRule": Api("monitoring.coreos.com/v1", "prometheusrules"),
    "HTTPRoute": Api("gateway.networking.k8s.io/v1", "httproutes"),
    "CiliumNetworkPolicy": Api("cilium.io/v2", "ciliumnetworkpolicies"),
    "Certificate": Api("cert-manager.io/v1", "certificates"),
}

RESOURCE_KINDS: Final = (Kind.STACK, Kind.POOL)
WATCHED_CHILD_KINDS: Final = (
    "ServiceAccount",
    "ConfigMap",
    "Service",
    "Deployment",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "Job",
)
"""Secrets are not among them: they are read by name only."""

WORKLOAD_KINDS: Final = ("Deployment", "Job")
"""Those with pods."""

AUTOSCALER_KINDS: Final = ("HorizontalPodAutoscaler", "ScaledObject")
"""A resource has one of them at most: two would pull the replicas to and fro, and KEDA refuses to be the second."""
OPTIONAL_CHILD_KINDS: Final = (
    "ScaledObject",
    "PodMonitor",
    "PrometheusRule",
    "HTTPRoute",
    "CiliumNetworkPolicy",
    "Certificate",
)
"""Of other projects: a cluster may serve them or not, and may begin or cease to. They are listed, never watched."""

CUSTOM_METRICS: Final = "custom.metrics.k8s.io"
"""API group that serves autoscalers the metrics of pods, by an adapter such as prometheus-adapter. No objects in it."""


class Ref(NamedTuple):
    """One object."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def pool_ref_of(stack: Mapping[str, Any]) -> Ref:
    """The pool of a stack, as `Stack.pool_name` and `Stack.pool_namespace`, for a spec that may not be valid."""
    metadata = stack["metadata"]
    reference = (stack.get("spec") or {}).get("sandboxPoolRef") or {}
    namespace, name = reference.get("namespace") or metadata["namespace"], reference.get("name") or metadata["name"]
    return Ref(Kind.POOL, str(namespace), str(name))


def ref_of(manifest: Mapping[str, Any], kind: str | None = None) -> Ref:
    """`kind` is for items of a list, which name none."""
    metadata = manifest["metadata"]
    return Ref(kind or manifest["kind"], metadata["namespace"], metadata["name"])
