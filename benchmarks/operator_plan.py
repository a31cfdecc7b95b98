"""What the operator's benchmark creates: stacks with pools of their own, and the children that each of them gets.

`benchmarks.operator` applies the first through the operator, and the second by itself, as the bare loop beside it.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from rlm_operator.inputs import Inputs, choose_images
from rlm_operator.names import API_VERSION, GENERATED_ANNOTATION, ISSUED_ANNOTATION, MANAGED_BY_LABEL
from rlm_operator.render import render
from rlm_operator.resource import parse_resource

Manifest = dict[str, Any]

NAMESPACES: Final = 10
"""That a burst is spread over, in turn."""


_SAMPLES: Final = {
    entry: base64.b64encode(bytes(size)).decode()
    for entry, size in {"api-key": 43, "tls.crt": 790, "tls.key": 241, "ca.crt": 700}.items()
}
"""As long as what the operator puts there, in bytes: a random key, and certificates of P-256 in PEM."""


def build_stack(name: str, namespace: str, replicas: int, *, paused: bool = False) -> Manifest:
    """An RLMStack with an inline pool, `replicas` pods each. `paused`: the operator is to leave it alone."""
    return {
        "apiVersion": API_VERSION,
        "kind": "RLMStack",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "paused": paused,
            "model": {"name": "gpt-5", "baseURL": "https://api.openai.com/v1"},
            "inference": {"replicas": replicas},
            "sandbox": {"replicas": replicas, "isolationProbe": {"enabled": False}},
        },
    }


def build_children(resource: Manifest) -> list[Manifest]:
    """Everything that the operator makes of a resource as the API server has it, owner references and Secrets' entries
    included.

    Without the operator's label, so that its watches do not see them, and a pool among them is paused.
    """
    children = render(parse_resource(resource), Inputs(images=choose_images()))
    for child in children:
        child["metadata"].get("labels", {}).pop(MANAGED_BY_LABEL, None)
        if child["kind"] == "SandboxPool":
            child["spec"]["paused"] = True
        if child["kind"] == "Secret":
            annotations = child["metadata"]["annotations"]
            entries = annotations.get(GENERATED_ANNOTATION) or annotations[ISSUED_ANNOTATION]
            child["data"] = {entry: _SAMPLES[entry] for entry in entries.split(",")}
    return children
