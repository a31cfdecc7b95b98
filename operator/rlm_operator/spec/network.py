"""Selectors and network rules of a spec, in the form that NetworkPolicies use."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.base import Duration, SpecModel


def _range(cidr: str) -> str:
    try:
        ip_network(cidr, strict=False)
    except ValueError as error:
        raise ValueError(_RANGE_WORDS) from error
    return cidr


_RANGE_WORDS = "a cidr must be a range of addresses: write for example 203.0.113.0/24 or 2001:db8::/32"

LabelValue = Annotated[str, Field(max_length=63)]
Cidr = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"), AfterValidator(_range)]


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
    """Where inference pods may connect to: `Auto` opens what the spec's addresses need, `Extend` that and `rules`,
    `Replace` only `rules`."""

    mode: Literal["Auto", "Extend", "Replace"] = "Auto"
    rules: Annotated[tuple[EgressRule, ...], Field(max_length=32)] = ()

    @model_validator(mode="after")
    def _decided(self) -> Self:
        if self.mode == "Auto" and self.rules:
            raise ValueError(
                "networkPolicy.egress.rules need a mode that says what becomes of the derived destinations: "
                "set egress.mode to Extend to keep them beside the rules, or to Replace to open the rules only"
            )
        return self


class NetworkPolicySettings(SpecModel):
    """Whether the operator makes the inference pods' NetworkPolicy, whom it lets in, and what it lets out."""

    management: Literal["Managed", "Unmanaged"] = "Managed"
    clients: Annotated[tuple[Peer, ...], Field(max_length=32)] = ()
    egress: Egress = Egress()

    @model_validator(mode="after")
    def _effective(self) -> Self:
        if self.management == "Unmanaged" and (self.egress.rules or self.clients):
            raise ValueError(
                "networkPolicy.egress.rules and networkPolicy.clients have no effect with management Unmanaged: "
                "remove them, or set management to Managed"
            )
        return self


def _probe_period(value: Duration) -> Duration:
    if not 600 <= value.seconds <= 604800:
        raise ValueError("isolationProbe.period must be from 10m to 168h: write a duration such as 6h")
    return value


class IsolationProbe(SpecModel):
    """Whether, and how often, traffic shows that the network keeps to the sandbox pods' policy."""

    enabled: bool = True
    period: Annotated[Duration, AfterValidator(_probe_period)] = Duration("6h")


class PoolNetworkPolicySettings(SpecModel):
    """Whether the operator makes the sandbox pods' NetworkPolicy."""

    management: Literal["Managed", "Unmanaged"] = "Managed"
