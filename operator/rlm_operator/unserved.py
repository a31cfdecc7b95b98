"""Optional APIs that a spec asks for and the cluster does not serve: this tells of them. Pure."""

from __future__ import annotations

from rlm_operator.conditions import Reason
from rlm_operator.kinds import APIS
from rlm_operator.resource import Resource, Stack


def find_unserved(resource: Resource, served: frozenset[str]) -> list[tuple[Reason, str]]:
    """`served`: those of kinds.OPTIONAL_CHILD_KINDS that the API server has."""
    if not isinstance(resource, Stack) or resource.spec.inference.http_route is None or "HTTPRoute" in served:
        return []
    words = (
        f"inference.httpRoute needs HTTPRoute of {APIS['HTTPRoute'].version}, which this cluster does not serve: "
        "install the Gateway API's CRDs, or use inference.ingress"
    )
    return [(Reason.API_MISSING, words)]
