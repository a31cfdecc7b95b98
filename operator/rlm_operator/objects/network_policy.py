"""NetworkPolicies: a sandbox answers its callers and connects to nothing; inference reaches what it needs by name.

Both deny what they do not list, in both directions. Policies add up, so a user can open more (a monitoring namespace,
an ingress controller) with a policy of their own beside these.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

from rlm_operator.endpoint import Address, Endpoint, External, InCluster
from rlm_operator.names import API_PORT, NETWORK_LABEL
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.objects.pool_peers import build_stack_peers
from rlm_operator.resource import Manifest
from rlm_operator.spec.network import Destination, EgressRule, Peer
from rlm_operator.spec.stack import RLMStackSpec

_NOT_PUBLIC_V4: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local, where clouds answer with instance credentials
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
_NOT_PUBLIC_V6: Final = ("::1/128", "fc00::/7", "fe80::/10", "ff00::/8")
"""Without IPv4-mapped addresses: they are never on the wire, and the API server reads that block as one of IPv4."""
_NODE_LOCAL_DNS: Final = "169.254.20.10/32"
"""Address of the node-local DNS cache, where a cluster has one."""


def build_sandbox_policy(plane: Plane, clients: Sequence[Peer], allowed_namespaces: Sequence[str] = ()) -> Manifest:
    """In: inference pods of stacks that use this pool, and `clients`, on the API port. Out: nothing, DNS included."""
    callers = [*build_stack_peers(plane, allowed_namespaces), *(_plain(client) for client in clients)]
    return _policy(plane, ingress=[{"from": callers, "ports": [_tcp(API_PORT)]}], egress=[])


def build_inference_policy(
    plane: Plane, spec: RLMStackSpec, sandboxes: Manifest, endpoints: list[Endpoint]
) -> Manifest:
    """In: the namespace with the stack's own pods, or everyone when the Service is exposed. Out: DNS, the pool, the
    stack's own pods, which answer for each other, and the models."""
    exposed = spec.inference.service.type != "ClusterIP"
    callers: Manifest = {} if exposed else {"from": [{"podSelector": {}}]}
    siblings = {"podSelector": {"matchLabels": {NETWORK_LABEL: plane.network}}}
    rules = spec.network_policy.egress.rules
    models = [_written(rule) for rule in rules] if rules else _derived(endpoints)
    return _policy(
        plane,
        ingress=[{**callers, "ports": [_tcp(API_PORT)]}],
        egress=[_dns(), {"to": [sandboxes, siblings], "ports": [_tcp(API_PORT)]}, *models],
    )


def _policy(plane: Plane, ingress: list[Manifest], egress: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build_metadata(plane),
        "spec": {
            "podSelector": {"matchLabels": {NETWORK_LABEL: plane.network}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }


def _dns() -> Manifest:
    kube_system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    return {
        "to": [kube_system, {"ipBlock": {"cidr": _NODE_LOCAL_DNS}}],
        "ports": [{"protocol": "UDP", "port": 53}, _tcp(53)],
    }


def _derived(endpoints: list[Endpoint]) -> list[Manifest]:
    """One rule per distinct destination; a model in the pod itself needs none."""
    rules: list[Manifest] = []
    for endpoint in endpoints:
        rule = _destination(endpoint)
        if rule is not None and rule not in rules:
            rules.append(rule)
    return rules


def _destination(endpoint: Endpoint) -> Manifest | None:
    match endpoint:
        case InCluster(namespace):
            namespace_label = {"kubernetes.io/metadata.name": namespace}
            # Policies see the pod's port, which the Service may have renamed: all TCP ports of that namespace's pods.
            return {"to": [{"namespaceSelector": {"matchLabels": namespace_label}}], "ports": [{"protocol": "TCP"}]}
        case Address(address, port):
            width = 32 if isinstance(address, IPv4Address) else 128
            return {"to": [{"ipBlock": {"cidr": f"{address}/{width}"}}], "ports": [_tcp(port)]}
        case External(_, port):
            internet = [
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_NOT_PUBLIC_V4)}},
                {"ipBlock": {"cidr": "::/0", "except": list(_NOT_PUBLIC_V6)}},
            ]
            return {"to": internet, "ports": [_tcp(port)]}
        case _:
            return None


def _written(rule: EgressRule) -> Manifest:
    written: Manifest = {"to": [_plain(destination) for destination in rule.to]}
    if rule.ports:
        written["ports"] = [{"protocol": port.protocol, "port": port.port} for port in rule.ports]
    return written


def _plain(part: Peer | Destination) -> Manifest:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}
