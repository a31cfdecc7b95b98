"""ServiceAccount of a plane's pods: an identity without a token, since no pod talks to the API server."""

from __future__ import annotations

from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest


def build_service_account(plane: Plane) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": build_metadata(plane),
        "automountServiceAccountToken": False,
    }
