"""Keeps pods from being started or changed while a resource names what it may not use. Pure.

`reconcile.py` leaves the withheld children as they are, neither applied nor deleted: pods that run go on with the
settings that they started with. Policies are never withheld, so what is refused is closed for those pods at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rlm_operator.bounds import Bounds
from rlm_operator.conditions import Reason
from rlm_operator.egress_refusals import find_refused_targets
from rlm_operator.inputs import Inputs
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.objects.owner import plane_of
from rlm_operator.resource import Manifest, Resource, Stack
from rlm_operator.secret_needs import SecretProblem
from rlm_operator.status import Refusal

_WITHHELD_KINDS: Final = ("ConfigMap", "Deployment")
"""A container that starts anew in an old pod reads the ConfigMap as it is then."""
_NOT_TO_MOUNT: Final = (Reason.SECRET_MISSING, Reason.SECRET_NOT_ALLOWED)


def refuse_targets(resource: Resource, inputs: Inputs) -> list[Refusal]:
    """One refusal per target that the spec names and may not use."""
    if not isinstance(resource, Stack):
        return []
    identity = resource.identity
    deployment = Ref("Deployment", identity.namespace, plane_of(identity).workload)
    return [
        Refusal(deployment, Reason.EGRESS_REFUSED, f"not started or changed, because {target.message}")
        for target in find_refused_targets(resource, inputs)
    ]


def is_secret_withheld(problems: Iterable[SecretProblem], bounds: Bounds) -> bool:
    """With an opt-in label, no pod may name a Secret before the Secret is there with it: a pod that waits for a Secret
    would mount whatever appears."""
    return bounds.secret_label is not None and any(problem.reason in _NOT_TO_MOUNT for problem in problems)


def split_withheld(children: Sequence[Manifest], is_withheld: bool) -> tuple[list[Manifest], frozenset[Ref]]:
    """The children that are applied all the same, and those that stay as they are."""
    if not is_withheld:
        return list(children), frozenset()
    withheld = [child for child in children if child["kind"] in _WITHHELD_KINDS]
    return [child for child in children if child not in withheld], frozenset(map(ref_of, withheld))
