"""What only the cluster knows about the addresses that a stack names: Services, resolved names, and who must not be a
target. Pure values; `surroundings.py` observes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rlm_operator.endpoint import IPAddress, ServiceName


@dataclass(frozen=True)
class ServiceFact:
    """Where a Service leads: pods by label, per port (`targets`), or a DNS name; neither when its addresses are written
    by hand. A headless Service translates no ports."""

    selector: Mapping[str, str]
    targets: Mapping[int, int | str]
    headless: bool = False
    external_name: str | None = None

    @classmethod
    def of(cls, service: Mapping[str, Any]) -> ServiceFact:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return cls({}, {}, external_name=spec["externalName"].rstrip("."))
        ports = {
            port["port"]: port.get("targetPort", port["port"])
            for port in spec.get("ports") or ()
            if port.get("protocol", "TCP") == "TCP"
        }
        return cls(spec.get("selector") or {}, ports, headless=spec.get("clusterIP") == "None")

    def pod_port(self, port: int) -> int | str | None:
        """The pods' port behind `port`, a number or a name; None when the Service has no such port."""
        return port if self.headless else self.targets.get(port)


@dataclass(frozen=True)
class NetworkFacts:
    """`services`: None for one that does not exist, absent when nobody looked. `addresses`: of names, empty when a name
    does not resolve, absent when nobody asked."""

    services: Mapping[ServiceName, ServiceFact | None] = field(default_factory=dict)
    addresses: Mapping[str, tuple[IPAddress, ...]] = field(default_factory=dict)
    nodes: frozenset[IPAddress] = frozenset()
    api_servers: frozenset[IPAddress] = frozenset()

    @property
    def misses_a_service(self) -> bool:
        return None in self.services.values()


NOTHING_KNOWN: Final = NetworkFacts()
