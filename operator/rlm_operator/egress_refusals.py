"""Targets that a stack may not name: the node, the API server, the cloud's metadata, and what the administrator's
settings leave out. Pure.

`reconcile.py` keeps a stack with such a target from getting pods; `openings.py` opens nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from rlm_operator.bounds import LINK_LOCAL, LOOPBACK, METADATA, NEVER, NOT_ONE_HOST, is_in, is_within
from rlm_operator.egress_targets import egress_targets
from rlm_operator.endpoint import (
    Address,
    Endpoint,
    External,
    InCluster,
    IPAddress,
    Loopback,
    ServiceName,
    parse_address,
)
from rlm_operator.inputs import Inputs
from rlm_operator.resource import Stack

API_SERVER: Final = ServiceName("default", "kubernetes")
_INSTEAD: Final = "write the address of the endpoint itself"


@dataclass(frozen=True)
class RefusedTarget:
    """`field` is where the spec names it, `message` says why not and what to do."""

    field: str
    message: str


def find_refused_targets(stack: Stack, inputs: Inputs) -> list[RefusedTarget]:
    """In the order of the spec: addresses first, then the ranges of written rules."""
    found = [
        RefusedTarget(target.field, f"{target.field} may not be used: {why}")
        for target in egress_targets(stack)
        for why in list(_faults(target.endpoint, inputs))[:1]
    ]
    for number, rule in enumerate(stack.spec.network_policy.egress.rules):
        for destination in rule.to:
            if destination.ip_block is None:
                continue
            field = rule_field(number)
            why = _range_fault(destination.ip_block.cidr, inputs)
            if why:
                found.append(RefusedTarget(field, f"{field} may not be used: {why}"))
    return found


def rule_field(number: int) -> str:
    """Where the spec writes an egress rule."""
    return f"spec.networkPolicy.egress.rules[{number}]"


def _faults(endpoint: Endpoint, inputs: Inputs) -> Iterator[str]:
    match endpoint:
        case Loopback():
            # Not so for files: `rlmctl dev` runs pods as processes beside a local model.
            if inputs.in_cluster:
                yield f"it is the pod itself, where no model answers; {_INSTEAD}"
        case Address(address, _):
            yield from _address_faults(address, str(address), inputs)
            if not inputs.bounds.allows_host(str(address)) and not _allowed_by_range(address, inputs):
                yield _not_allowed(str(address))
        case InCluster(service, _):
            yield from _service_faults(service, inputs)
        case External(host, _):
            service_name = endpoint.possible_service
            if service_name is not None and inputs.network.services.get(service_name) is not None:
                yield from _service_faults(service_name, inputs)
            else:
                yield from _name_faults(host, host, inputs)


def _service_faults(service: ServiceName, inputs: Inputs) -> Iterator[str]:
    host = f"{service.name}.{service.namespace}.svc"
    if service == API_SERVER:
        yield f"{host} is the API server of the cluster; {_INSTEAD}"
    if not inputs.bounds.allows_host(host):
        yield _not_allowed(host)
    fact = inputs.network.services.get(service)
    if fact is not None and fact.external_name is not None:
        address = parse_address(fact.external_name)
        words = f"{host} leads to {fact.external_name}"
        if address is not None:
            yield from _address_faults(address, words, inputs)
        else:
            yield from _name_faults(fact.external_name, words, inputs)


def _name_faults(host: str, words: str, inputs: Inputs) -> Iterator[str]:
    if not inputs.bounds.allows_host(host):
        yield _not_allowed(host)
    for address in inputs.network.addresses.get(host, ()):
        yield from _address_faults(address, f"{words}, at {address},", inputs)


def _address_faults(address: IPAddress, words: str, inputs: Inputs) -> Iterator[str]:
    what = _kind_of(address, inputs)
    if what:
        yield f"{words} is {what}; {_INSTEAD}"
    elif not inputs.bounds.allows_address(address):
        ranges = ", ".join(map(str, inputs.bounds.allowed_cidrs))
        yield f"{words} is outside of what the administrator allows (--allowed-egress-cidrs {ranges}); ask for it"


def _kind_of(address: IPAddress, inputs: Inputs) -> str:
    facts = inputs.network
    for what, holds in (
        ("a loopback address", is_in(address, LOOPBACK)),
        ("the cloud's metadata service", is_in(address, METADATA)),
        ("a link-local address", is_in(address, LINK_LOCAL)),
        ("not the address of one host", is_in(address, NOT_ONE_HOST)),
        ("the API server of the cluster", address in facts.api_servers),
        ("a node of the cluster", address in facts.nodes),
        ("in a range that the administrator closed (--refused-cidrs)", is_in(address, inputs.bounds.refused_cidrs)),
    ):
        if holds:
            return what
    return ""


def _range_fault(cidr: str, inputs: Inputs) -> str:
    network = ip_network(cidr, strict=False)
    if network.prefixlen == network.max_prefixlen:
        return next(_address_faults(network.network_address, cidr, inputs), "")
    closed = (*NEVER, *inputs.bounds.refused_cidrs)
    if any(is_within(network, never) for never in closed):
        return f"{cidr} lies in a range that is closed to all stacks; remove it"
    if not inputs.bounds.allows_range(network):
        ranges = ", ".join(map(str, inputs.bounds.allowed_cidrs))
        return f"{cidr} is outside of what the administrator allows (--allowed-egress-cidrs {ranges}); narrow it"
    return ""


def _allowed_by_range(address: IPAddress, inputs: Inputs) -> bool:
    """An address within ranges that are allowed by name needs no entry among the hosts too."""
    return bool(inputs.bounds.allowed_cidrs) and inputs.bounds.allows_address(address)


def _not_allowed(host: str) -> str:
    return f"{host} is not among the hosts that the administrator allows (--allowed-llm-hosts); ask for it"
