"""Objects as an API server would give them back, for tests of what is made of them."""

from __future__ import annotations

import copy
from typing import Any

from rlm_operator.live import Live, observe
from rlm_operator.names import API_VERSION
from rlm_operator.resource import Manifest


def stored(manifest: Manifest, version: int = 1, uid: str = "", **extra: Any) -> Manifest:
    """The manifest with what the server adds; `extra` are further top-level fields, such as status."""
    found = copy.deepcopy(manifest) | extra
    metadata = found["metadata"]
    metadata.update(resourceVersion=str(version), uid=uid or f"uid-of-{metadata['name']}", generation=1)
    return found


def custom_resource(kind: str, name: str, version: int = 1, uid: str = "", **parts: Any) -> Manifest:
    """An RLMStack or SandboxPool in namespace `team`."""
    metadata = {"name": name, "namespace": "team"}
    return stored({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": {}}, version, uid, **parts)


def deployment(
    replicas: int = 2, status: Manifest | None = None, managers: list[tuple[str, str]] | None = None, version: int = 1
) -> Live:
    """A Deployment; `managers`: who holds `spec.replicas`, with the subresource used."""
    fields = [
        {"manager": manager, "subresource": subresource, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        for manager, subresource in managers or []
    ]
    manifest: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "demo-rlm", "namespace": "team", "managedFields": fields},
        "spec": {"replicas": replicas},
    }
    return observe(stored(manifest, version, status=status or {}))


def rolled_out(replicas: int, available: int | None = None) -> Manifest:
    """Status of a Deployment of the newest revision; `available` pods serve."""
    serving = replicas if available is None else available
    minimum = "True" if serving >= replicas else "False"
    return {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": serving,
        "availableReplicas": serving,
        "conditions": [{"type": "Available", "status": minimum}],
    }
