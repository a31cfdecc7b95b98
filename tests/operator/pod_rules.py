"""Specs against the rules of `podTemplate`, Services and routes, by the message: kind and spec; for test_spec.py."""

from __future__ import annotations

from typing import Any, Final

from rlm_operator.resource import Manifest


def _pool(**template: Any) -> tuple[str, Manifest]:
    return "SandboxPool", {"podTemplate": template}


def _near(selector: Manifest) -> Manifest:
    terms = [{"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}]
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


POD_RULES: Final[dict[str, tuple[str, Manifest]]] = {
    "podTemplate.labels takes keys": _pool(labels={"app": "other"}),
    "podTemplate.annotations takes keys": _pool(annotations={"k8s.v1.cni.cncf.io/networks": "other"}),
    "podTemplate.nodeSelector takes labels": _pool(nodeSelector={"not a key": "x"}),
    "podTemplate.tolerations must not name": _pool(tolerations=[{"key": "node-role.kubernetes.io/control-plane"}]),
    "podTemplate.priorityClassName must not": _pool(priorityClassName="system-node-critical"),
    "a toleration with operator Exists": _pool(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
    "tolerationSeconds counts with": _pool(tolerations=[{"key": "a", "tolerationSeconds": 1}]),
    "an affinity expression with In": _pool(
        affinity=_near({"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]})
    ),
    "service.annotations takes keys": ("RLMStack", {"inference": {"service": {"annotations": {"app": "x"}}}}),
    "annotations of an Ingress": (
        "RLMStack",
        {
            "inference": {
                "ingress": {
                    "host": "rlm.example.com",
                    "annotations": {"nginx.ingress.kubernetes.io/configuration-snippet": "return 200;"},
                }
            }
        },
    ),
    "resources.requests must not": (
        "SandboxPool",
        {"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": 1}}},
    ),
    "podAffinity labelSelector.matchLabels": _pool(affinity=_near({"matchLabels": {"not a key": "x"}})),
}
