"""Where a model's address points, as far as its text tells: decides what inference pods may connect to.

Called by the NetworkPolicy builder and by the status, which says how wide the opening is. Nothing is resolved.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True)
class InCluster:
    """A Service: traffic ends at pods of its namespace, on a port that only the Service knows."""

    namespace: str


@dataclass(frozen=True)
class Address:
    """One address and port."""

    address: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True)
class External:
    """A DNS name outside the cluster: NetworkPolicies know no names, so the whole Internet at that port."""

    host: str
    port: int


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
    try:
        address = ip_address(host)
    except ValueError:
        return _named(host, port, namespace)
    return Loopback() if address.is_loopback else Address(address, port)


def _named(host: str, port: int, namespace: str) -> Endpoint:
    labels = host.split(".")
    if host == "localhost":
        return Loopback()
    if len(labels) == 1:
        return InCluster(namespace)
    if len(labels) >= 3 and labels[2] == "svc":
        return InCluster(labels[1])
    return External(host, port)
