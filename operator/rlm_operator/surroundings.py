"""Observes what rendering and refusals need to know about the addresses that a stack names.

Services by name, names in DNS, and the addresses of nodes and the API server. Only what a stack's addresses call for is
asked, and answers are kept for a while; `reconcile.py` calls it in every pass.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from rlm_operator.api import KubernetesApi
from rlm_operator.egress_refusals import API_SERVER
from rlm_operator.egress_targets import egress_targets
from rlm_operator.endpoint import Address, External, InCluster, IPAddress, ServiceName, parse_address
from rlm_operator.errors import NotFoundError, RefusedError
from rlm_operator.kinds import Ref
from rlm_operator.network_facts import NetworkFacts, ServiceFact
from rlm_operator.resolver import Resolver
from rlm_operator.resource import Stack

_SERVICE_SECONDS: Final = 30.0
_MISSING_SERVICE_SECONDS: Final = 5.0
_HOSTS_SECONDS: Final = 300.0

_log = logging.getLogger(__name__)


class Surroundings:
    """`namespaces` empty means that the operator serves, and may look at, the whole cluster. `server` is the URL of the
    API server."""

    def __init__(
        self,
        api: KubernetesApi,
        resolver: Resolver,
        namespaces: Sequence[str],
        server: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._resolver = resolver
        self._namespaces = namespaces
        self._server = server
        self._clock = clock
        self._services: dict[ServiceName, tuple[float, ServiceFact | None]] = {}
        self._hosts: tuple[frozenset[IPAddress], frozenset[IPAddress]] = (frozenset(), frozenset())
        self._hosts_until = 0.0

    async def observe(self, stack: Stack) -> NetworkFacts:
        """Raises UnavailableError when the API server does not answer."""
        services: dict[ServiceName, ServiceFact | None] = {}
        names: list[str] = []
        has_address = bool(stack.spec.network_policy.egress.rules)
        for target in egress_targets(stack):
            match target.endpoint:
                case InCluster(service, _):
                    await self._see_service(service, services)
                case External(host, _) as endpoint:
                    service_name = endpoint.possible_service
                    if service_name is None or not await self._see_service(service_name, services):
                        names.append(host)
                case Address():
                    has_address = True
        names += [fact.external_name for fact in services.values() if fact is not None and fact.external_name]
        addresses = {name: await self._resolver.resolve(name) for name in names}
        nodes, api_servers = await self._see_hosts() if has_address or names else self._hosts
        return NetworkFacts(services, addresses, nodes, api_servers)

    async def _see_service(self, name: ServiceName, seen: dict[ServiceName, ServiceFact | None]) -> bool:
        """Note the Service, where the operator may look; whether it is known to exist."""
        if self._namespaces and name.namespace not in self._namespaces:
            return False
        known = self._services.get(name)
        if known is None or known[0] <= self._clock():
            fact = await self._fetch_service(name)
            known = (self._clock() + (_SERVICE_SECONDS if fact else _MISSING_SERVICE_SECONDS), fact)
            self._services[name] = known
        seen[name] = known[1]
        return known[1] is not None

    async def _fetch_service(self, name: ServiceName) -> ServiceFact | None:
        try:
            return ServiceFact.of(await self._api.fetch(Ref("Service", name.namespace, name.name)))
        except NotFoundError:
            return None

    async def _see_hosts(self) -> tuple[frozenset[IPAddress], frozenset[IPAddress]]:
        """Addresses of nodes and of the API server."""
        if self._hosts_until <= self._clock():
            # An operator of some namespaces may look at neither; --refused-cidrs can name them.
            nodes = frozenset() if self._namespaces else await self._fetch_nodes()
            further = set() if self._namespaces else await self._fetch_api_servers()
            self._hosts = nodes, frozenset(further | set(await self._own_api_server()))
            self._hosts_until = self._clock() + _HOSTS_SECONDS
        return self._hosts

    async def _fetch_nodes(self) -> frozenset[IPAddress]:
        try:
            listing = await self._api.fetch_list("Node", None, None)
        except RefusedError as error:
            _log.warning("addresses of nodes are not known, so stacks may name them: %s", error)
            return frozenset()
        written = (
            entry["address"]
            for node in listing.items
            for entry in (node.get("status") or {}).get("addresses") or ()
            if entry["type"] in ("InternalIP", "ExternalIP")
        )
        return frozenset(address for text in written if (address := parse_address(text)) is not None)

    async def _fetch_api_servers(self) -> set[IPAddress]:
        """Behind the Service `kubernetes`, and that Service's own address."""
        written: list[str] = []
        for kind in ("Service", "EndpointSlice"):
            try:
                found = await self._api.fetch(Ref(kind, *API_SERVER))
            except (NotFoundError, RefusedError) as error:
                _log.warning("an address of the API server is not known: %s", error)
                continue
            written += (found.get("spec") or {}).get("clusterIPs") or []
            written += [text for endpoint in found.get("endpoints") or () for text in endpoint["addresses"]]
        return {address for text in written if (address := parse_address(text)) is not None}

    async def _own_api_server(self) -> tuple[IPAddress, ...]:
        host = urlsplit(self._server).hostname or ""
        address = parse_address(host)
        return (address,) if address is not None else await self._resolver.resolve(host)
