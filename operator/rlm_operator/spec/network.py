"""Selectors and network rules of a spec, in the form that NetworkPolicies use."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlm_operator.spec.base import SpecModel

LabelValue = Annotated[str, Field(max_length=63)]
Cidr = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]


class LabelExpression(SpecModel):
    """One condition on a label."""

    key: Annotated[str, Field(min_length=1, max_length=316)]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[list[LabelValue] | None, Field(max_length=32)] = None


class LabelSelector(SpecModel):
    """Selects objects by label; empty selects all."""

    match_labels: Annotated[dict[str, LabelValue] | None, Field(max_length=16)] = None
    match_expressions: Annotated[list[LabelExpression] | None, Field(max_length=16)] = None


class Peer(SpecModel):
    """Pods by label, in namespaces by label; without namespaceSelector, of the policy's own namespace."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if self.pod_selector is None and self.namespace_selector is None:
            raise ValueError(
                "a client needs podSelector, namespaceSelector or both: "
                "say which pods may call; an empty podSelector {} is every pod of this namespace"
            )
        return self


class IPBlock(SpecModel):
    """A range of addresses without some ranges within it."""

    cidr: Cidr
    except_: Annotated[list[Cidr] | None, Field(alias="except", max_length=32)] = None


class Destination(SpecModel):
    """Where a connection may go: addresses, or pods."""

    ip_block: IPBlock | None = None
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        pods = self.pod_selector is not None or self.namespace_selector is not None
        if pods == (self.ip_block is not None):
            raise ValueError(
                "a destination is either ipBlock, or podSelector and/or namespaceSelector: write one of the two forms"
            )
        return self


class Port(SpecModel):
    """One port."""

    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: Annotated[int, Field(ge=1, le=65535)]


class EgressRule(SpecModel):
    """Destinations and ports that go together; no ports means all."""

    to: Annotated[list[Destination], Field(min_length=1, max_length=32)]
    ports: Annotated[tuple[Port, ...], Field(max_length=32)] = ()


class Egress(SpecModel):
    """Destinations that replace those derived from the models' addresses."""

    rules: Annotated[tuple[EgressRule, ...], Field(max_length=32)] = ()


class NetworkPolicySettings(SpecModel):
    """Whether the operator makes the inference pods' NetworkPolicy, and what it lets out."""

    management: Literal["Managed", "Unmanaged"] = "Managed"
    egress: Egress = Egress()

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.management == "Unmanaged" and self.egress.rules:
            raise ValueError(
                "networkPolicy.egress.rules have no effect with management Unmanaged: "
                "remove the rules, or set management to Managed"
            )
        return self
