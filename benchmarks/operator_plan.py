"""What the operator's benchmark creates: stacks with pools of their own, and the children that each of them gets.

`benchmarks.operator` applies the first through the operator, and the second by itself, as the bare loop beside it.
"""

from __future__ import annotations

from typing import Any, Final

from rlm_operator.inputs import choose_images
from rlm_operator.names import API_VERSION, MANAGED_BY_LABEL
from rlm_operator.render import render_all
from rlm_operator.resource import parse_resource

Manifest = dict[str, Any]

NAMESPACES: Final = 10
"""That a burst is spread over, in turn."""


def build_stack(name: str, namespace: str, replicas: int) -> Manifest:
    """An RLMStack with an inline pool, `replicas` pods each."""
    return {
        "apiVersion": API_VERSION,
        "kind": "RLMStack",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"name": "gpt-5", "baseURL": "https://api.openai.com/v1"},
            "inference": {"replicas": replicas},
            "sandbox": {"replicas": replicas, "isolationProbe": {"enabled": False}},
        },
    }


def build_children(stack: Manifest) -> list[Manifest]:
    """Everything that the operator makes of the stack, its pool included, as objects of somebody else.

    Without the operator's label, so that its watches do not see them.
    """
    children = render_all([parse_resource(stack)], choose_images())
    for child in children:
        labels = child["metadata"].get("labels", {})
        labels.pop(MANAGED_BY_LABEL, None)
    return children
