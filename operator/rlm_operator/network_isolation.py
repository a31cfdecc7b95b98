"""The condition NetworkIsolated: which policy restricts a resource's pods, and how narrowly. Pure."""

from __future__ import annotations

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.inputs import Inputs
from rlm_operator.live import Live
from rlm_operator.openings import NameOpening, NamespaceOpening, NoOpening, find_openings, opens_by_name
from rlm_operator.resource import Resource, Stack

_KIND = ConditionType.NETWORK_ISOLATED


def network_isolated(resource: Resource, policy: Live | None, inputs: Inputs) -> Condition:
    """`policy`: the resource's own NetworkPolicy, as it is in the cluster."""
    pods = "inference" if isinstance(resource, Stack) else "sandbox"
    if resource.spec.network_policy.management == "Unmanaged":
        words = (
            f"networkPolicy.management is Unmanaged: the operator does not restrict the {pods} pods; "
            "restrict them with a policy of your own"
        )
        return Condition(_KIND, False, Reason.POLICY_UNMANAGED, words)
    if policy is None or policy.deleting:
        words = (
            f"The NetworkPolicy of the {pods} pods does not exist yet: the operator makes it, or Degraded says why not"
        )
        return Condition(_KIND, False, Reason.POLICY_MISSING, words)
    if isinstance(resource, Stack):
        return Condition(_KIND, True, Reason.POLICY_APPLIED, _stack_words(resource, inputs))
    return Condition(
        _KIND,
        True,
        Reason.POLICY_APPLIED,
        "Sandbox pods answer their callers and may connect to nothing, DNS included. "
        "Whether the cluster's network enforces it is said by IsolationVerified.",
    )


def _stack_words(stack: Stack, inputs: Inputs) -> str:
    egress = stack.spec.network_policy.egress
    written = len(egress.rules)
    if egress.mode == "Replace":
        return f"Inference pods may reach DNS, their pool and the {written} written egress rules only."
    openings = find_openings(stack, inputs)
    sentences = ["Inference pods may reach DNS, their pool and the addresses of the spec only."]
    if egress.mode == "Extend" and written:
        sentences = [
            f"Inference pods may reach DNS, their pool, the addresses of the spec and {written} written rules."
        ]
    names = sorted({opening.host for opening in openings if isinstance(opening, NameOpening)})
    if names:
        sentences.append(_names_words(names, inputs))
    for opening in openings:
        match opening:
            case NameOpening(host, _, private) if private and not opens_by_name(inputs):
                listed = ", ".join(map(str, private))
                sentences.append(
                    f"{host} has private addresses ({listed}), which are not opened for a name: "
                    "open them in networkPolicy.egress.rules, or write the address in the spec."
                )
            case NamespaceOpening(service):
                sentences.append(
                    f"The operator may not look at Service {service.name} in namespace {service.namespace}, so all TCP "
                    "ports of that namespace's pods are open: networkPolicy.egress mode Replace narrows it."
                )
            case NoOpening(field, why):
                sentences.append(f"Nothing is opened for {field}: {why}.")
    return " ".join(sentences)


def _names_words(names: list[str], inputs: Inputs) -> str:
    listed = ", ".join(names)
    if opens_by_name(inputs):
        return f"Cilium opens {listed} by name."
    where = "the ranges that the administrator allows" if inputs.bounds.allowed_cidrs else "the public Internet"
    return (
        f"For {listed} they may reach {where} at that port, which is wider than one host, because NetworkPolicies "
        "know no names: networkPolicy.egress with mode Replace narrows it to addresses."
    )
