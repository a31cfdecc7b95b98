"""Where a cluster's DNS answers when that is not port 53 of `kube-system`, as the administrator says. Pure.

`settings.py` parses them into the Bounds; the policies of inference pods let their requests out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Final

from rlm_operator.endpoint import IPAddress

_FORM: Final = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<v4>[0-9.]+)|(?P<namespace>[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)):(?P<port>[0-9]{1,5})"
)


@dataclass(frozen=True)
class DnsServers:
    """The pods of a namespace at their own `port`, or an address."""

    place: str | IPAddress
    port: int

    @property
    def cidr(self) -> str | None:
        """Of an address."""
        if isinstance(self.place, str):
            return None
        return f"{self.place}/{32 if isinstance(self.place, IPv4Address) else 128}"


def parse_dns_servers(text: str) -> tuple[DnsServers, ...]:
    """Comma-separated `NAMESPACE:PORT` and `ADDRESS:PORT`. Raises ValueError that names the wrong one."""
    return tuple(_parse(part.strip()) for part in text.split(",") if part.strip())


def _parse(text: str) -> DnsServers:
    found = _FORM.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ValueError(
            f"{text!r} is no place of DNS servers: write for example openshift-dns:5353 or 169.254.25.10:53"
        )
    address = found["v6"] or found["v4"]
    return DnsServers(ip_address(address) if address else found["namespace"], int(found["port"]))
