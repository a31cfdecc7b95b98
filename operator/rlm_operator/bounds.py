"""What the cluster's administrator lets stacks name, by the operator's settings; and ranges that nobody may name. Pure.

`settings.py` makes the Bounds; rendering, refusals and the check of Secrets go by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from rlm_operator.dns_servers import DnsServers
from rlm_operator.endpoint import IPAddress

IPNetwork = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


METADATA: Final = _networks(
    "169.254.169.254/32",
    "100.100.100.200/32",  # Alibaba Cloud
    "168.63.129.16/32",  # Azure
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:ec2::254/128",  # AWS over IPv6
)
"""Where clouds answer with the node's credentials."""
LINK_LOCAL: Final = _networks("169.254.0.0/16", "fe80::/10")
LOOPBACK: Final = _networks("127.0.0.0/8", "::1/128")
NOT_ONE_HOST: Final = _networks("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8")
NEVER: Final = (*METADATA, *LINK_LOCAL, *LOOPBACK, *NOT_ONE_HOST)
"""Closed whatever a stack says."""


@dataclass(frozen=True)
class Bounds:
    """An empty allow-list allows everything. Hosts are names such as `api.openai.com`, or `*.example.com` for all names
    below; a Service is `NAME.NAMESPACE.svc`. `secret_label` is `KEY` or `KEY=VALUE`. `dns_servers`: besides those that
    every cluster may have."""

    allowed_hosts: tuple[str, ...] = ()
    allowed_cidrs: tuple[IPNetwork, ...] = ()
    refused_cidrs: tuple[IPNetwork, ...] = ()
    secret_label: str | None = None
    monitoring_namespaces: tuple[str, ...] = ()
    dns_servers: tuple[DnsServers, ...] = ()

    def allows_host(self, host: str) -> bool:
        return not self.allowed_hosts or any(_matches(host.lower(), pattern) for pattern in self.allowed_hosts)

    def allows_address(self, address: IPAddress) -> bool:
        return not self.allowed_cidrs or is_in(address, self.allowed_cidrs)

    def allows_range(self, network: IPNetwork) -> bool:
        return not self.allowed_cidrs or any(is_within(network, allowed) for allowed in self.allowed_cidrs)

    def allows_secret(self, secret: Mapping[str, Any]) -> bool:
        """Whether a Secret that somebody made carries the label that lets stacks use it."""
        if self.secret_label is None:
            return True
        key, _, value = self.secret_label.partition("=")
        found = (secret["metadata"].get("labels") or {}).get(key)
        return found is not None and value in ("", found)


UNBOUNDED: Final = Bounds()


def is_in(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(address in network for network in networks)


def is_within(network: IPNetwork, other: IPNetwork) -> bool:
    """Whether all of `network` lies in `other`, of the same IP version."""
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)


def parse_networks(text: str) -> tuple[IPNetwork, ...]:
    """Comma-separated ranges. Raises ValueError that names the wrong one."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
