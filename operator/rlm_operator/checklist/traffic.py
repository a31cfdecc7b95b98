"""Check of the NetworkPolicies that select a plane's pods. They add up: one that is too wide undoes the rest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Final

from rlm_operator.checklist.evidence import PlaneEvidence
from rlm_operator.checklist.findings import Findings
from rlm_operator.names import SANDBOX
from rlm_operator.resource import Manifest

_METADATA: Final = IPv4Address("169.254.169.254")
"""Where clouds answer any process of a node with the node's credentials."""


def check_traffic(planes: list[PlaneEvidence]) -> Findings:
    """Each plane's pods are restricted in both directions, and a sandbox can not connect to anything."""
    findings = Findings()
    for plane in planes:
        selected = [
            policy for policy in plane.policies if selects(policy["spec"].get("podSelector") or {}, plane.labels)
        ]
        for direction in ("Ingress", "Egress"):
            if not any(direction in _types(policy) for policy in selected):
                findings.add(f"no NetworkPolicy restricts the {direction.lower()} of {plane.workload}")
        for policy in selected:
            for problem in _too_wide(plane, policy["spec"]):
                findings.add(f"NetworkPolicy {policy['metadata']['name']} {problem}")
    return findings


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    wanted = (selector.get("matchLabels") or {}).items()
    if any(labels.get(key) != value for key, value in wanted):
        return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or ())


def _is_for(policy: Manifest, plane: PlaneEvidence) -> bool:
    return selects(policy["spec"].get("podSelector") or {}, plane.labels)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _types(policy: Manifest) -> list[str]:
    types: list[str] = policy["spec"].get("policyTypes") or ["Ingress"]
    return types


def _too_wide(plane: PlaneEvidence, spec: Mapping[str, Any]) -> list[str]:
    egress = spec.get("egress") or []
    if plane.component == SANDBOX:
        problems = ["lets sandboxes connect out"] if egress else []
        if any(not rule.get("from") for rule in spec.get("ingress") or ()):
            problems.append("lets everybody connect to sandboxes")
        return problems
    if any(not rule.get("to") for rule in egress):
        return [f"lets {plane.workload} connect to anything"]
    if any(_reaches_metadata(peer["ipBlock"]) for rule in egress for peer in rule["to"] if "ipBlock" in peer):
        return [f"lets {plane.workload} connect to the cloud's metadata address {_METADATA}"]
    return []


def _reaches_metadata(block: Mapping[str, Any]) -> bool:
    return _METADATA in ip_network(block["cidr"], strict=False) and not any(
        ip_address(_METADATA) in ip_network(excepted, strict=False) for excepted in block.get("except") or ()
    )
