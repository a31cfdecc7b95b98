"""CiliumNetworkPolicy of the inference pods: opens names by name, which a NetworkPolicy can not.

Beside the NetworkPolicy, which then has no rule for names: what either allows is open. Cilium learns a name's addresses
from the answers that pass its DNS proxy, so DNS goes through that. A name may lead anywhere, so what is closed to all
stacks is denied, which counts for more than what is allowed. The form was tried on Cilium 1.18.
"""

from __future__ import annotations

from collections.abc import Iterable

from rlm_operator.bounds import NEVER
from rlm_operator.inputs import Inputs
from rlm_operator.names import NETWORK_LABEL
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.openings import NameOpening, Opening, opens_by_name
from rlm_operator.resource import Manifest


def build_cilium_policy(plane: Plane, openings: Iterable[Opening], inputs: Inputs) -> Manifest | None:
    """None where Cilium is not, or no name is to be opened."""
    names = [opening for opening in openings if isinstance(opening, NameOpening)]
    if not names or not opens_by_name(inputs):
        return None
    ports = sorted({opening.port for opening in names})
    by_port = {port: sorted({opening.host for opening in names if opening.port == port}) for port in ports}
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": build_metadata(plane),
        "spec": {
            "endpointSelector": {"matchLabels": {NETWORK_LABEL: plane.network}},
            "egress": [
                _dns(_in_namespace("kube-system"), 53),
                *_further_dns(inputs),
                *(
                    {"toFQDNs": [{"matchName": host} for host in hosts], "toPorts": [_tcp([port])]}
                    for port, hosts in by_port.items()
                ),
            ],
            "egressDeny": [
                {"toCIDRSet": [{"cidr": cidr} for cidr in _closed(inputs)], "toPorts": [_tcp(ports)]},
                {"toEntities": ["host", "remote-node", "kube-apiserver"], "toPorts": [_tcp(ports)]},
            ],
        },
    }


def _further_dns(inputs: Inputs) -> list[Manifest]:
    return [
        _dns(_in_namespace(str(servers.place)) if servers.cidr is None else {"toCIDR": [servers.cidr]}, servers.port)
        for servers in inputs.bounds.dns_servers
    ]


def _dns(place: Manifest, port: int) -> Manifest:
    """Through Cilium's proxy, which learns the addresses of names from the answers."""
    ports = [{"port": str(port), "protocol": "ANY"}]
    return {**place, "toPorts": [{"ports": ports, "rules": {"dns": [{"matchPattern": "*"}]}}]}


def _in_namespace(namespace: str) -> Manifest:
    return {"toEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": namespace}}]}


def _closed(inputs: Inputs) -> list[str]:
    refused = [str(network) for network in (*NEVER, *inputs.bounds.refused_cidrs)]
    servers = sorted(f"{address}/{address.max_prefixlen}" for address in inputs.network.api_servers)
    return [*refused, *servers]


def _tcp(ports: list[int]) -> Manifest:
    return {"ports": [{"port": str(port), "protocol": "TCP"} for port in ports]}
