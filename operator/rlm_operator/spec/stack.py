"""Spec of an RLMStack."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.base import (
    Duration,
    ModelName,
    NamespaceName,
    ResourceName,
    SecretKeyRef,
    SecretRef,
    SpecModel,
)
from rlm_operator.spec.exposure import HTTPRouteSettings, IngressSettings, ServiceSettings
from rlm_operator.spec.monitoring import Monitoring
from rlm_operator.spec.network import NetworkPolicySettings
from rlm_operator.spec.pool import SandboxPoolSpec
from rlm_operator.spec.tools import Tools
from rlm_operator.spec.workload import Autoscaling, LogSettings, Workload

_LINK_LOCAL: Final = re.compile(r"^https?://(169[.]254[.]|\[[fF][eE][89aAbB])")


def _routable(url: str) -> str:
    if _LINK_LOCAL.match(url):
        raise ValueError(
            "baseURL must not be a link-local address, such as the cloud's metadata service: "
            "write the address of the model's endpoint"
        )
    return url


def _run_timeout(value: Duration) -> Duration:
    if not 1 <= value.seconds <= 86400:
        raise ValueError("rlm.timeout must be from 1s to 24h: write a duration such as 1h")
    return value


BaseURL = Annotated[
    str, Field(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(_routable)
]


class Model(SpecModel):
    """The root model and its OpenAI-compatible endpoint; without a key reference, no key is sent."""

    name: ModelName
    base_url: Annotated[BaseURL, Field(alias="baseURL")]
    api_key_secret_ref: SecretKeyRef | None = None


class SubModel(SpecModel):
    """The model of `llm_query`; at the root model's endpoint and with its key unless it says otherwise."""

    name: ModelName
    base_url: Annotated[BaseURL | None, Field(alias="baseURL")] = None
    api_key_secret_ref: SecretKeyRef | None = None
    keyless: bool = False

    @model_validator(mode="after")
    def _key(self) -> Self:
        if self.base_url is not None and self.api_key_secret_ref is None and not self.keyless:
            raise ValueError(
                "subModel with its own baseURL does not get the root model's key: "
                "add subModel.apiKeySecretRef, or keyless: true if that endpoint takes no key"
            )
        if self.keyless and self.api_key_secret_ref is not None:
            raise ValueError("subModel has keyless: true and apiKeySecretRef: remove one of them")
        if self.keyless and self.base_url is None:
            raise ValueError(
                "subModel.keyless needs subModel.baseURL: "
                "without it the root model's endpoint and key are used; remove keyless or add baseURL"
            )
        return self


class Budgets(SpecModel):
    """Limits of a run, children included; `max_concurrency` is per inference pod. With `direct_below_tokens` 0 every
    input gets a session."""

    max_iterations: Annotated[int, Field(ge=1, le=1000)] = 30
    max_depth: Annotated[int, Field(ge=0, le=10)] = 1
    max_subcalls: Annotated[int, Field(ge=0, le=1000000)] = 1000
    max_tokens: Annotated[int | None, Field(ge=1, le=10_000_000_000)] = None
    timeout: Annotated[Duration, AfterValidator(_run_timeout)] = Duration("1h")
    max_concurrency: Annotated[int, Field(ge=1, le=10000)] = 64
    max_consecutive_errors: Annotated[int, Field(ge=1, le=1000)] = 5
    allowed_models: Annotated[tuple[ModelName, ...], Field(max_length=64)] = ()
    direct_below_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class InferenceAutoscaling(Autoscaling):
    """Inference pods mostly wait for models, so they may run fuller."""

    target_cpu_utilization: Annotated[int, Field(alias="targetCPUUtilization", ge=1, le=100)] = 70


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

    @model_validator(mode="after")
    def _one_sandbox(self) -> Self:
        if self.sandbox is not None and self.sandbox_pool_ref is not None:
            raise ValueError(
                "sandbox and sandboxPoolRef exclude each other: "
                "keep sandbox for a pool of the stack's own, or sandboxPoolRef to share one"
            )
        return self

    @property
    def owned_pool(self) -> SandboxPoolSpec | None:
        """Spec of the pool that the stack brings along; None when it refers to another."""
        if self.sandbox_pool_ref is not None:
            return None
        return self.sandbox if self.sandbox is not None else SandboxPoolSpec()
