"""Spec of an RLMStack."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.autoscaling import InferenceAutoscaling
from rlm_operator.spec.base import (
    ModelName,
    NamespaceName,
    Quantity,
    ResourceName,
    SecretRef,
    SpecModel,
    distinct,
)
from rlm_operator.spec.budgets import Budgets
from rlm_operator.spec.exposure import HTTPRouteSettings, IngressSettings, ServiceSettings
from rlm_operator.spec.keys import KeyLimits, KeyName
from rlm_operator.spec.model import Model, Price, SubModel
from rlm_operator.spec.monitoring import Monitoring
from rlm_operator.spec.network import NetworkPolicySettings
from rlm_operator.spec.pool import SandboxPoolSpec
from rlm_operator.spec.storage import Storage
from rlm_operator.spec.tools import Tools
from rlm_operator.spec.tracing import Tracing
from rlm_operator.spec.workload import LogSettings, Workload


def _body_size(value: Quantity) -> Quantity:
    if not 2**20 <= value.value <= 2**30:
        raise ValueError("inference.maxBodyBytes must be from 1Mi to 1Gi: write a quantity such as 256Mi")
    return value


class EndpointAuth(SpecModel):
    """Whether callers of the endpoint need a key, and where the keys are."""

    mode: Literal["APIKey", "Disabled"] = "APIKey"
    secret_ref: SecretRef | None = None

    @model_validator(mode="after")
    def _read(self) -> Self:
        if self.mode == "Disabled" and self.secret_ref is not None:
            raise ValueError(
                "inference.auth.mode Disabled does not read keys: remove auth.secretRef, or set auth.mode to APIKey"
            )
        return self


class Inference(Workload):
    """The inference pods."""

    autoscaling: InferenceAutoscaling | None = None
    served_model_name: ModelName | None = None
    termination_grace_period_seconds: Annotated[int, Field(ge=10, le=86400)] = 300
    service: ServiceSettings = ServiceSettings()
    ingress: IngressSettings | None = None
    http_route: HTTPRouteSettings | None = None
    auth: EndpointAuth = EndpointAuth()
    key_limits: KeyLimits = KeyLimits()
    admin_keys: Annotated[tuple[KeyName, ...], Field(max_length=64), AfterValidator(distinct)] = ()
    max_body_bytes: Annotated[Quantity, AfterValidator(_body_size)] = Quantity("256Mi")

    @property
    def is_exposed(self) -> bool:
        """Whether callers come from outside the namespace: through a load balancer, an Ingress or a Gateway."""
        return self.service.type != "ClusterIP" or self.ingress is not None or self.http_route is not None


class SandboxPoolRef(SpecModel):
    """A SandboxPool, of the same namespace unless it says another, whose pool must allow it."""

    name: ResourceName
    namespace: NamespaceName | None = None


class RLMStackSpec(SpecModel):
    """Desired state of a stack."""

    model: Model
    sub_model: SubModel | None = None
    rlm: Budgets = Budgets()
    tools: Tools = Tools()
    inference: Inference = Inference()
    sandbox_pool_ref: SandboxPoolRef | None = None
    sandbox: SandboxPoolSpec | None = None
    network_policy: NetworkPolicySettings = NetworkPolicySettings()
    logging: LogSettings = LogSettings()
    monitoring: Monitoring = Monitoring()
    storage: Storage = Storage()
    tracing: Tracing = Tracing()
    suspend: bool = False
    paused: bool = False

    @model_validator(mode="after")
    def _one_sandbox(self) -> Self:
        if self.sandbox is not None and self.sandbox_pool_ref is not None:
            raise ValueError(
                "sandbox and sandboxPoolRef exclude each other: "
                "keep sandbox for a pool of the stack's own, or sandboxPoolRef to share one"
            )
        return self

    @model_validator(mode="after")
    def _priced(self) -> Self:
        """A model without a price would spend nothing of a limit, which requests may set too."""
        if self.rlm.max_cost_usd is None and not self.prices:
            return self
        if {self.model.name, *([self.sub_model.name] if self.sub_model else []), *self.rlm.allowed_models} - set(
            self.prices
        ):
            raise ValueError(
                "cost is counted when every model has a price: add model.price, subModel.price, and rlm.prices for "
                "each of rlm.allowedModels"
            )
        return self

    @property
    def prices(self) -> dict[str, Price]:
        """By the model's name; those of `model` and `subModel` go before the table."""
        named = [self.sub_model, self.model] if self.sub_model else [self.model]
        return {**self.rlm.prices, **{each.name: each.price for each in named if each.price is not None}}

    @property
    def owned_pool(self) -> SandboxPoolSpec | None:
        """Spec of the pool that the stack brings along; None when it refers to another."""
        if self.sandbox_pool_ref is not None:
            return None
        return self.sandbox if self.sandbox is not None else SandboxPoolSpec()
