"""The two ends of the connection between planes, as network policies name them; also across namespaces.

`network_policy.py` puts them into its rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlm_operator.names import NETWORK_LABEL, POOL_LABEL, pool_workload
from rlm_operator.objects.owner import Plane
from rlm_operator.resource import Manifest

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""On every namespace, set by the API server and not to be changed."""


def build_stack_peers(plane: Plane, allowed_namespaces: Sequence[str]) -> list[Manifest]:
    """Inference pods of stacks that use the pool of `plane`: of its own namespace, and of those it allows."""
    pods = {"matchLabels": {POOL_LABEL: plane.instance}}
    others = sorted(set(allowed_namespaces) - {plane.namespace})
    peers: list[Manifest] = [{"podSelector": pods}]
    if others:
        among = {"key": NAMESPACE_NAME_LABEL, "operator": "In", "values": others}
        peers.append({"namespaceSelector": {"matchExpressions": [among]}, "podSelector": pods})
    return peers


def build_sandbox_peer(pool: str, pool_namespace: str, namespace: str) -> Manifest:
    """Sandbox pods of a pool, for a policy in `namespace`."""
    peer: Manifest = {"podSelector": {"matchLabels": {NETWORK_LABEL: pool_workload(pool)}}}
    if pool_namespace != namespace:
        peer["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME_LABEL: pool_namespace}}
    return peer
