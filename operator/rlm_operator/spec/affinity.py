"""Node and pod affinity of a spec, in the form that pods use.

Pod terms look at pods of the same namespace only: a term over others' namespaces would let one tenant keep another's
pods off a node, since required anti-affinity counts both ways.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.base import SpecModel
from rlm_operator.spec.labels import LABEL_KEY, LabelKey, LabelValue

Weight = Annotated[int, Field(ge=1, le=100)]


def _pod_labels(labels: dict[str, str]) -> dict[str, str]:
    if not all(re.fullmatch(LABEL_KEY, key) for key in labels):
        raise ValueError(
            "podAffinity labelSelector.matchLabels takes labels of pods: "
            "write keys such as app or app.kubernetes.io/name"
        )
    return labels


PodLabels = Annotated[dict[str, LabelValue], Field(max_length=8), AfterValidator(_pod_labels)]


class NodeExpression(SpecModel):
    """One condition on a node's label."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: Annotated[list[LabelValue] | None, Field(max_length=32)] = None

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        _check_values(self.operator, self.values or [])
        return self


class NodeTerm(SpecModel):
    """Nodes for which all expressions hold."""

    match_expressions: Annotated[list[NodeExpression], Field(min_length=1, max_length=8)]


class RequiredNodes(SpecModel):
    """Nodes of one term or another."""

    node_selector_terms: Annotated[list[NodeTerm], Field(min_length=1, max_length=8)]


class PreferredNodes(SpecModel):
    """Nodes that are liked."""

    weight: Weight
    preference: NodeTerm


class NodeAffinity(SpecModel):
    """Which nodes pods may, or should, run on."""

    required_during_scheduling_ignored_during_execution: RequiredNodes | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[PreferredNodes] | None, Field(max_length=8)
    ] = None


class PodExpression(SpecModel):
    """One condition on a pod's label."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[list[LabelValue] | None, Field(max_length=32)] = None

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        _check_values(self.operator, self.values or [])
        return self


class PodSelector(SpecModel):
    """Pods of the same namespace by label; empty selects all of them."""

    match_labels: PodLabels | None = None
    match_expressions: Annotated[list[PodExpression] | None, Field(max_length=8)] = None


class PodTerm(SpecModel):
    """Near, or away from, these pods, within one value of a node's label."""

    topology_key: LabelKey
    label_selector: PodSelector


class PreferredPods(SpecModel):
    """Pods whose neighbourhood is liked, or avoided."""

    weight: Weight
    pod_affinity_term: PodTerm


class PodAffinity(SpecModel):
    """Whether pods must, or should, run near others; as anti-affinity: away from them."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodTerm] | None, Field(max_length=8)] = None
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredPods] | None, Field(max_length=8)] = (
        None
    )


class Affinity(SpecModel):
    """Where pods run, relative to nodes and to other pods."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


def _check_values(operator: str, values: list[str]) -> None:
    wrong = {
        "In": not values,
        "NotIn": not values,
        "Exists": bool(values),
        "DoesNotExist": bool(values),
        "Gt": len(values) != 1 or not values[0].isdecimal(),
        "Lt": len(values) != 1 or not values[0].isdecimal(),
    }
    if wrong[operator]:
        raise ValueError(
            "an affinity expression with In or NotIn needs values, with Exists or DoesNotExist takes none, "
            "with Gt or Lt takes one whole number: correct operator or values"
        )
