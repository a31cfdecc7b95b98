"""NetworkPolicies: a sandbox answers its callers and connects to nothing; inference reaches what it needs by name.

Both deny what they do not list, in both directions. Policies add up, so a user can open more with a policy of their own
beside these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, ip_network
from typing import Final

from rlm_operator.bounds import NEVER, IPNetwork, is_within
from rlm_operator.egress_refusals import find_refused_targets, rule_field
from rlm_operator.inputs import Inputs
from rlm_operator.names import API_PORT, METRICS_PORT, NETWORK_LABEL
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.objects.pool_peers import build_sandbox_peer, build_stack_peers
from rlm_operator.openings import (
    AddressOpening,
    NameOpening,
    NamespaceOpening,
    Opening,
    PodsOpening,
    opens_by_name,
)
from rlm_operator.resource import Manifest, Stack
from rlm_operator.spec.network import Destination, EgressRule, Peer
from rlm_operator.spec.pool import SandboxPoolSpec

_NOT_PUBLIC_V4: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",  # where Azure answers its machines
    "169.254.0.0/16",  # link-local, where clouds answer with instance credentials
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
_NOT_PUBLIC_V6: Final = ("::1/128", "64:ff9b::a9fe:0/112", "fc00::/7", "fe80::/10", "ff00::/8")
"""Without IPv4-mapped addresses: they are never on the wire, and the API server reads that block as one of IPv4."""
_INTERNET: Final = (("0.0.0.0/0", _NOT_PUBLIC_V4), ("::/0", _NOT_PUBLIC_V6))
_NODE_LOCAL_DNS: Final = "169.254.20.10/32"
"""Address of the node-local DNS cache, where a cluster has one."""


def build_sandbox_policy(plane: Plane, pool: SandboxPoolSpec, inputs: Inputs) -> Manifest:
    """In: inference pods of stacks that use this pool, and `clients`, on the API port. Out: nothing, DNS included."""
    callers = [*build_stack_peers(plane, pool.allowed_namespaces), *(_plain(client) for client in pool.clients)]
    ingress = [{"from": callers, "ports": [_tcp(API_PORT)]}, *_monitoring(inputs)]
    return _policy(plane, ingress=ingress, egress=[])


def build_inference_policy(
    plane: Plane, stack: Stack, openings: Iterable[Opening], inputs: Inputs, further: Sequence[Manifest] = ()
) -> Manifest:
    """In: the stack's own pods, which answer for each other, and `clients`, by default the namespace, or everyone when
    the Service is exposed, and `further` rules. Out: DNS, the pool, the stack's own pods, `openings` and what the
    spec's own rules say."""
    siblings: Manifest = {"podSelector": {"matchLabels": {NETWORK_LABEL: plane.network}}}
    sandboxes = build_sandbox_peer(stack.pool_name, stack.pool_namespace, stack.identity.namespace)
    derived = [rule for opening in openings if (rule := _rule(opening, inputs)) is not None]
    refused = {target.field for target in find_refused_targets(stack, inputs)}
    written = [
        _written(rule, inputs)
        for number, rule in enumerate(stack.spec.network_policy.egress.rules)
        if rule_field(number) not in refused
    ]
    return _policy(
        plane,
        ingress=[{**_callers(stack, siblings), "ports": [_tcp(API_PORT)]}, *_monitoring(inputs), *further],
        egress=[
            *_dns_rules(inputs),
            {"to": [sandboxes, siblings], "ports": [_tcp(API_PORT)]},
            *_distinct(derived),
            *written,
        ],
    )


def _dns_rules(inputs: Inputs) -> list[Manifest]:
    usual = [_in_namespace("kube-system"), {"ipBlock": {"cidr": _NODE_LOCAL_DNS}}]
    further = [
        (
            _in_namespace(str(servers.place)) if servers.cidr is None else {"ipBlock": {"cidr": servers.cidr}},
            servers.port,
        )
        for servers in inputs.bounds.dns_servers
    ]
    return [_dns_rule(usual, 53), *(_dns_rule([place], port) for place, port in further)]


def _dns_rule(places: list[Manifest], port: int) -> Manifest:
    return {"to": places, "ports": [{"protocol": "UDP", "port": port}, _tcp(port)]}


def _callers(stack: Stack, siblings: Manifest) -> Manifest:
    clients = stack.spec.network_policy.clients
    if clients:
        return {"from": [siblings, *(_plain(client) for client in clients)]}
    exposed = stack.spec.inference.is_exposed
    return {} if exposed else {"from": [{"podSelector": {}}]}


def _monitoring(inputs: Inputs) -> list[Manifest]:
    """The metrics port, from the namespaces that the administrator names."""
    namespaces = inputs.bounds.monitoring_namespaces
    sources = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in namespaces]
    return [{"from": sources, "ports": [_tcp(METRICS_PORT)]}] if sources else []


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


def _distinct(rules: Iterable[Manifest]) -> list[Manifest]:
    """Two names at one port give the same rule."""
    found: list[Manifest] = []
    for rule in rules:
        if rule not in found:
            found.append(rule)
    return found


def _rule(opening: Opening, inputs: Inputs) -> Manifest | None:
    match opening:
        case PodsOpening(service, selector, port):
            pods = {**_in_namespace(service.namespace), "podSelector": {"matchLabels": dict(selector)}}
            return {"to": [pods], "ports": [_tcp(port)]}
        case NamespaceOpening(service):
            # Policies see the pod's port, which the Service may have renamed: all TCP ports of that namespace's pods.
            return {"to": [_in_namespace(service.namespace)], "ports": [{"protocol": "TCP"}]}
        case AddressOpening(address, port):
            width = 32 if isinstance(address, IPv4Address) else 128
            return {"to": [{"ipBlock": {"cidr": f"{address}/{width}"}}], "ports": [_tcp(port)]}
        case NameOpening(_, port) if not opens_by_name(inputs):
            blocks = _bounded(inputs.bounds.allowed_cidrs) if inputs.bounds.allowed_cidrs else _INTERNET
            return {"to": [_closed_block(cidr, closed, inputs) for cidr, closed in blocks], "ports": [_tcp(port)]}
        case _:
            return None


def _bounded(allowed: Iterable[IPNetwork]) -> list[tuple[str, tuple[str, ...]]]:
    """The ranges that the administrator allows, in place of the Internet."""
    return [(str(network), _never_within(network)) for network in allowed]


def _never_within(network: IPNetwork) -> tuple[str, ...]:
    return tuple(str(never) for never in NEVER if never != network and is_within(never, network))


def _in_namespace(namespace: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def _written(rule: EgressRule, inputs: Inputs) -> Manifest:
    """A rule of the spec, without what is closed to all stacks inside its ranges."""
    destinations = [_narrowed(destination, inputs) for destination in rule.to]
    written: Manifest = {"to": destinations}
    if rule.ports:
        written["ports"] = [{"protocol": port.protocol, "port": port.port} for port in rule.ports]
    return written


def _narrowed(destination: Destination, inputs: Inputs) -> Manifest:
    plain = _plain(destination)
    if destination.ip_block is None:
        return plain
    network = ip_network(destination.ip_block.cidr, strict=False)
    said = destination.ip_block.except_ or []
    further = [cidr for cidr in _never_within(network) if not any(_covers(block, cidr) for block in said)]
    return _closed_block(destination.ip_block.cidr, [*said, *further], inputs)


def _closed_block(cidr: str, closed: Sequence[str], inputs: Inputs) -> Manifest:
    """The range without what is `closed`, the API server, and what the administrator refuses."""
    found = _refused_within(ip_network(cidr, strict=False), inputs)
    further = [single for single in found if not any(_covers(block, single) for block in closed)]
    return {"ipBlock": {"cidr": cidr, **({"except": [*closed, *further]} if closed or further else {})}}


def _refused_within(network: IPNetwork, inputs: Inputs) -> list[str]:
    addresses = sorted(map(str, inputs.network.api_servers))
    singles = [ip_network(address) for address in addresses]
    ranges = [*singles, *inputs.bounds.refused_cidrs]
    return [str(single) for single in ranges if single != network and is_within(single, network)]


def _covers(outer: str, inner: str) -> bool:
    return is_within(ip_network(inner), ip_network(outer, strict=False))


def _plain(part: Peer | Destination) -> Manifest:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


def _tcp(port: int | str) -> Manifest:
    return {"protocol": "TCP", "port": port}
