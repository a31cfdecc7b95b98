"""Which addresses a tool may connect to: public ones, and private ones where its declaration says so.

The resolver stands in the tool client's connector, so the addresses that were checked are those that are connected to:
a name that resolves to another address the next time (DNS rebinding) gains nothing. Addresses that are written out are
no names and never come here; declarations are checked for them.
"""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA: Final = frozenset(
    ipaddress.ip_address(address) for address in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254")
)
"""Where clouds answer every process with the node's credentials. Two of these are no link-local addresses."""


class AddressRefusedError(OSError):
    """A name resolves to what its tool may not connect to."""


def is_refused(address: IPv4Address | IPv6Address, *, allow_private: bool) -> bool:
    """Link-local, multicast, unspecified and metadata addresses always are."""
    address = _unwrapped(address)
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return True
    return not allow_private and not address.is_global


def is_refused_literal(host: str, *, allow_private: bool) -> bool:
    """Of a host that may be a name: names are refused when they are resolved. An address is written in full, since
    127.1, 0177.0.0.1 and 2130706433 mean one thing here and another there."""
    try:
        return is_refused(ipaddress.ip_address(host), allow_private=allow_private)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        return last.isdigit() or last.startswith("0x")


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


class CheckedResolver(AbstractResolver):
    """Asks `resolver` once per connection and passes on what it says, or nothing if any of it may not be called."""

    def __init__(self, resolver: AbstractResolver, *, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises AddressRefusedError."""
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            address = ipaddress.ip_address(each["host"].partition("%")[0])
            if is_refused(address, allow_private=self._allow_private):
                raise AddressRefusedError(f"{host} resolves to {address}, which a tool may not connect to")
        return found

    async def close(self) -> None:
        await self._resolver.close()
