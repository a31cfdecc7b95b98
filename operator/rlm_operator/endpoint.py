"""Where an address of a spec points, as far as its text tells: decides what inference pods may connect to.

Called by `egress_targets.py` for every address that a stack names. Nothing is resolved here: `openings.py` and
`egress_refusals.py` add what only the cluster knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

IPAddress = IPv4Address | IPv6Address

_NUMBERS: Final = re.compile(r"^(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+)){0,3}$")
_NAT64: Final = int(IPv6Address("64:ff9b::")) >> 32


class ServiceName(NamedTuple):
    """A Service."""

    namespace: str
    name: str


@dataclass(frozen=True)
class InCluster:
    """A Service: traffic ends at pods of its namespace, on a port that only the Service knows."""

    service: ServiceName
    port: int


@dataclass(frozen=True)
class Address:
    """One address and port."""

    address: IPAddress
    port: int


@dataclass(frozen=True)
class External:
    """A DNS name outside the cluster: NetworkPolicies know no names."""

    host: str
    port: int

    @property
    def possible_service(self) -> ServiceName | None:
        """`name.namespace`, which a pod's resolver looks for in the cluster before it asks outside."""
        labels = self.host.split(".")
        return ServiceName(labels[1], labels[0]) if len(labels) == 2 else None


@dataclass(frozen=True)
class Loopback:
    """The pod itself: nothing to open."""


Endpoint = InCluster | Address | External | Loopback


def parse_endpoint(url: str, namespace: str) -> Endpoint:
    """Classify `http(s)://host[:port]/…` as seen from pods in `namespace`.

    `name`, `name.ns.svc` and `name.ns.svc.DOMAIN` are Services; other names are external.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = parse_address(host)
    if address is None:
        return _named(host, port, namespace)
    return Loopback() if address.is_loopback else Address(address, port)


def parse_address(host: str) -> IPAddress | None:
    """The address that `host` is written as, None for a name.

    Also forms that the C library takes for one (`127.1`, `0x7f000001`, `2130706433`), and IPv6 forms of IPv4 addresses.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return _parse_numbers(host)
    return plain_address(address)


def _parse_numbers(host: str) -> IPv4Address | None:
    """As inet_aton(3): one to four numbers, decimal, octal or hexadecimal, of which the last fills what is left."""
    if not _NUMBERS.match(host):
        return None
    try:
        *first, last = map(_parse_number, host.split("."))
    except ValueError:
        return None
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return IPv4Address(sum(number << (24 - 8 * place) for place, number in enumerate(first)) + last)


def _parse_number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    return int(text, 8) if text[0] == "0" else int(text)


def plain_address(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv6 one (IPv4-mapped, NAT64), which is where its traffic goes; else the address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if int(address) >> 32 == _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _named(host: str, port: int, namespace: str) -> Endpoint:
    labels = host.split(".")
    if host == "localhost" or labels[-1] == "localhost":
        return Loopback()
    if len(labels) == 1:
        return InCluster(ServiceName(namespace, host), port)
    if len(labels) >= 3 and labels[2] == "svc":
        return InCluster(ServiceName(labels[1], labels[0]), port)
    return External(host, port)
