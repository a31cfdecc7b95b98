"""What a stack's inference pods may connect to: each target of the spec, seen with what the cluster knows of it. Pure.

The builders of both kinds of policy turn the openings into rules, and the status tells how wide they are, so that the
two can not disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rlm_operator.egress_refusals import find_refused_targets
from rlm_operator.egress_targets import egress_targets
from rlm_operator.endpoint import Address, Endpoint, External, InCluster, IPAddress, Loopback, ServiceName
from rlm_operator.inputs import Inputs
from rlm_operator.network_facts import NetworkFacts
from rlm_operator.resource import Stack


@dataclass(frozen=True)
class PodsOpening:
    """The pods behind a Service, at their own port (a number or a name)."""

    service: ServiceName
    selector: Mapping[str, str]
    port: int | str


@dataclass(frozen=True)
class NamespaceOpening:
    """All pods of a Service's namespace, at every TCP port: nobody could look at the Service."""

    service: ServiceName


@dataclass(frozen=True)
class AddressOpening:
    """One address and port."""

    address: IPAddress
    port: int


@dataclass(frozen=True)
class NameOpening:
    """A DNS name and port. `private`: addresses that it has, which policies for the Internet leave out."""

    host: str
    port: int
    private: tuple[IPAddress, ...] = ()


@dataclass(frozen=True)
class NoOpening:
    """A target that nothing is opened for, and why."""

    field: str
    why: str


Opening = PodsOpening | NamespaceOpening | AddressOpening | NameOpening | NoOpening


def find_openings(stack: Stack, inputs: Inputs) -> list[Opening]:
    """One per distinct destination, in the order of the spec; none for targets that are refused."""
    if stack.spec.network_policy.egress.mode == "Replace":
        return []
    refused = {target.field for target in find_refused_targets(stack, inputs)}
    found: list[Opening] = []
    for target in egress_targets(stack):
        if target.field in refused:
            continue
        for opening in _openings(target.field, target.endpoint, inputs.network):
            if opening not in found:
                found.append(opening)
    return found


def opens_by_name(inputs: Inputs) -> bool:
    """Whether Cilium opens names as such. Not within ranges of the administrator's, which it can not combine
    with names."""
    return "CiliumNetworkPolicy" in inputs.served and not inputs.bounds.allowed_cidrs


def _openings(field: str, endpoint: Endpoint, facts: NetworkFacts) -> Iterator[Opening]:
    match endpoint:
        case InCluster(service, port):
            yield from _service_openings(field, service, port, facts)
        case Address(address, port):
            yield AddressOpening(address, port)
        case External(host, port):
            service_name = endpoint.possible_service
            if service_name is not None and facts.services.get(service_name) is not None:
                yield from _service_openings(field, service_name, port, facts)
            else:
                yield _name_opening(host, port, facts)
        case Loopback():
            return


def _service_openings(field: str, name: ServiceName, port: int, facts: NetworkFacts) -> Iterator[Opening]:
    if name not in facts.services:
        yield NamespaceOpening(name)
        return
    service = facts.services[name]
    words = f"Service {name.name} in namespace {name.namespace}"
    if service is None:
        yield NoOpening(field, f"{words} does not exist: create it, or correct the address")
    elif service.external_name is not None:
        yield _name_opening(service.external_name, port, facts)
    elif not service.selector:
        yield NoOpening(
            field,
            f"{words} selects no pods, its addresses are written by hand: name them in networkPolicy.egress.rules",
        )
    elif (pod_port := service.pod_port(port)) is None:
        yield NoOpening(field, f"{words} has no TCP port {port}: correct the address, or add the port to the Service")
    else:
        yield PodsOpening(name, service.selector, pod_port)


def _name_opening(host: str, port: int, facts: NetworkFacts) -> NameOpening:
    private = tuple(address for address in facts.addresses.get(host, ()) if not address.is_global)
    return NameOpening(host, port, private)
