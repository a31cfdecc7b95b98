"""Spec of a SandboxPool; also the `sandbox` field of a stack."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rlm_operator.spec.autoscaling import SandboxAutoscaling
from rlm_operator.spec.base import BearerAuth, Duration, NamespaceName, Quantity, SpecModel, distinct
from rlm_operator.spec.exposure import PoolService
from rlm_operator.spec.monitoring import Monitoring
from rlm_operator.spec.network import IsolationProbe, Peer, PoolNetworkPolicySettings
from rlm_operator.spec.scheduling import Scheduling
from rlm_operator.spec.tls import Tls
from rlm_operator.spec.workload import LogSettings, Workload


def _cell_timeout(value: Duration) -> Duration:
    if not 0 < value.seconds <= 3600:
        raise ValueError("limits.timeout must be longer than 0s and at most 1h: write a duration such as 30s")
    return value


def _session_memory(value: Quantity) -> Quantity:
    if not Decimal(32 * 2**20) <= value.value <= Decimal(4 * 2**30):
        raise ValueError("limits.memory must be from 32Mi to 4Gi: write a quantity such as 256Mi")
    return value


def _output_size(value: Quantity) -> Quantity:
    if not Decimal(2**10) <= value.value <= Decimal(64 * 2**20):
        raise ValueError("limits.outputBytes must be from 1Ki to 64Mi: write a quantity such as 1Mi")
    return value


def _idle_timeout(value: Duration) -> Duration:
    if not 1 <= value.seconds <= 86400:
        raise ValueError("sessions.idleTimeout must be from 1s to 24h: write a duration such as 15m")
    return value


def _max_duration(value: Duration) -> Duration:
    if not 1 <= value.seconds <= 604800:
        raise ValueError("sessions.maxDuration must be from 1s to 168h: write a duration such as 8h")
    return value


class SandboxLimits(SpecModel):
    """What a session (timeout, memory, CPU weight, output) and a pod (sessions, executions, queue) may use."""

    timeout: Annotated[Duration, AfterValidator(_cell_timeout)] = Duration("30s")
    memory: Annotated[Quantity, AfterValidator(_session_memory)] = Quantity("256Mi")
    cpu_shares: Annotated[int, Field(ge=2, le=262144)] = 256
    max_sessions: Annotated[int | None, Field(ge=1, le=10000)] = None
    max_concurrent_executions: Annotated[int | None, Field(ge=1, le=10000)] = None
    max_queue: Annotated[int, Field(ge=0, le=10000)] = 100
    output_bytes: Annotated[Quantity, AfterValidator(_output_size)] = Quantity("1Mi")


class Sessions(SpecModel):
    """Life of sessions, and how many wait ready per pod."""

    idle_timeout: Annotated[Duration, AfterValidator(_idle_timeout)] = Duration("15m")
    max_duration: Annotated[Duration, AfterValidator(_max_duration)] = Duration("8h")
    spares: Annotated[int, Field(ge=0, le=1000)] = 8


class SandboxPoolSpec(Workload):
    """Desired state of a pool."""

    image: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = "stdlib"
    image_digest: Annotated[str | None, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")] = None
    autoscaling: SandboxAutoscaling | None = None
    limits: SandboxLimits = SandboxLimits()
    sessions: Sessions = Sessions()
    scheduling: Scheduling = Scheduling()
    service: PoolService = PoolService()
    clients: Annotated[tuple[Peer, ...], Field(max_length=32)] = ()
    allowed_namespaces: Annotated[tuple[NamespaceName, ...], Field(max_length=64), AfterValidator(distinct)] = ()
    network_policy: PoolNetworkPolicySettings = PoolNetworkPolicySettings()
    isolation_probe: IsolationProbe = IsolationProbe()
    tls: Tls = Tls()
    auth: BearerAuth = BearerAuth()
    logging: LogSettings = LogSettings()
    monitoring: Monitoring = Monitoring()
    suspend: bool = False
    paused: bool = False

    @model_validator(mode="after")
    def _wakeable(self) -> Self:
        others = self.clients or self.allowed_namespaces
        if self.autoscaling is not None and self.autoscaling.scale_to_zero and others:
            raise ValueError(
                "autoscaling.scaleToZero goes by the sessions of stacks of this namespace, so clients and stacks of "
                "allowedNamespaces would lose theirs: remove scaleToZero, or give them a pool of their own"
            )
        return self

    @model_validator(mode="after")
    def _clients_let_in(self) -> Self:
        if self.network_policy.management == "Unmanaged" and self.clients:
            raise ValueError(
                "clients have no effect with networkPolicy.management Unmanaged: "
                "remove them, or set management to Managed"
            )
        return self

    @model_validator(mode="after")
    def _session_fits(self) -> Self:
        pod = self.resources.limits.memory or Quantity("1Gi")
        if self.limits.memory.value > pod.value:
            raise ValueError(
                "limits.memory of one session must fit into the pod: "
                "raise resources.limits.memory (default 1Gi) or lower limits.memory"
            )
        return self
