"""Looks at the ConfigMaps with authorities that a stack's pods mount, and says what is wrong with them.

Called by `reconcile.py` on each pass. ConfigMaps are watched only where they carry the operator's label, and these are
the user's; so each is read by name, as Secrets are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlm_operator.api import KubernetesApi
from rlm_operator.conditions import Reason
from rlm_operator.errors import NotFoundError
from rlm_operator.kinds import Ref
from rlm_operator.resource import Resource, Stack

BundleProblem = tuple[Reason, str]
"""Why pods cannot mount a bundle, and what to do."""


@dataclass(frozen=True)
class BundleNeed:
    """One entry of a ConfigMap; `field` of the spec names it."""

    name: str
    key: str
    field: str


class BundleLook:
    """Reads ConfigMaps through `api`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def find_problems(self, resource: Resource) -> list[BundleProblem]:
        """Empty when all is well. Raises ApiError."""
        namespace = resource.identity.namespace
        problems = []
        for need in bundle_needs(resource):
            try:
                found = await self._api.fetch(Ref("ConfigMap", namespace, need.name))
            except NotFoundError:
                found = None
            if (problem := find_problem(need, found, namespace)) is not None:
                problems.append(problem)
        return problems


def bundle_needs(resource: Resource) -> list[BundleNeed]:
    """Of both models of a stack."""
    return list(_bundle_needs(resource)) if isinstance(resource, Stack) else []


def find_problem(need: BundleNeed, found: Mapping[str, Any] | None, namespace: str) -> BundleProblem | None:
    """`found`: the ConfigMap; None when there is none. Its content is looked at for emptiness alone."""
    if found is None:
        words = (
            f'ConfigMap "{need.name}" ({need.field}) does not exist in namespace "{namespace}", and pods that mount it '
            f"do not start: create it with: kubectl create configmap {need.name} -n {namespace} "
            f"--from-file={need.key}=FILE"
        )
        return Reason.CONFIG_MAP_MISSING, words
    if not {**(found.get("binaryData") or {}), **(found.get("data") or {})}.get(need.key):
        words = (
            f'ConfigMap "{need.name}" ({need.field}) has no entry "{need.key}", or an empty one: add it, or name '
            f"another one in {need.field}.key"
        )
        return Reason.CONFIG_MAP_KEY_MISSING, words
    return None


def _bundle_needs(stack: Stack) -> Iterator[BundleNeed]:
    if bundle := stack.spec.model.ca_bundle_ref:
        yield BundleNeed(bundle.name, bundle.key, "spec.model.caBundleRef")
    if stack.spec.sub_model and (bundle := stack.spec.sub_model.ca_bundle_ref):
        yield BundleNeed(bundle.name, bundle.key, "spec.subModel.caBundleRef")
