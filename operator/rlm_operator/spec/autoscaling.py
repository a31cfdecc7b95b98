"""The `autoscaling` fields of a spec: bounds, targets, and how fast to follow them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlm_operator.spec.base import SpecModel


class ScalingPolicy(SpecModel):
    """One bound on speed: at most `value` pods, or percent of the pods, within `periodSeconds`."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(ge=1, le=1000)]
    period_seconds: Annotated[int, Field(ge=1, le=1800)]


class ScalingRules(SpecModel):
    """Speed in one direction, as a HorizontalPodAutoscaler has it."""

    stabilization_window_seconds: Annotated[int | None, Field(ge=0, le=3600)] = None
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: Annotated[tuple[ScalingPolicy, ...], Field(max_length=8)] = ()


SLOW_DOWN = ScalingRules(
    stabilization_window_seconds=300,
    policies=(
        ScalingPolicy(type="Percent", value=10, period_seconds=60),
        ScalingPolicy(type="Pods", value=1, period_seconds=60),
    ),
)
"""A pod that goes ends what runs in it: so pods go one by one, or a tenth of many, after five quiet minutes."""


class Behavior(SpecModel):
    """Speed up and down; a direction that is absent keeps its default."""

    scale_up: ScalingRules | None = None
    scale_down: ScalingRules | None = None


class Autoscaling(SpecModel):
    """Bounds and target of an autoscaler. Percent of the CPU request; the default is each plane's own."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    target_cpu_utilization: Annotated[int, Field(alias="targetCPUUtilization", ge=1, le=100)]
    behavior: Behavior = Behavior()

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                "autoscaling.minReplicas must not exceed autoscaling.maxReplicas: "
                "lower minReplicas or raise maxReplicas"
            )
        return self

    @property
    def wants_keda(self) -> bool:
        """Whether KEDA is asked for in place of the Kubernetes autoscaler."""
        return False

    @property
    def may_sleep(self) -> bool:
        """Whether the autoscaler is asked to take the last pod while nobody wants one."""
        return False


class InferenceAutoscaling(Autoscaling):
    """Inference pods mostly wait for models, so they may run fuller."""

    target_cpu_utilization: Annotated[int, Field(alias="targetCPUUtilization", ge=1, le=100)] = 70


class SandboxAutoscaling(Autoscaling):
    """Sandboxes are busy in bursts, so they scale earlier. They alone can be woken from zero: runs wait for them."""

    provider: Literal["HPA", "KEDA"] = "HPA"
    target_cpu_utilization: Annotated[int, Field(alias="targetCPUUtilization", ge=1, le=100)] = 60
    target_queue_length: Annotated[int | None, Field(ge=1, le=500)] = None
    scale_to_zero: bool = False

    @model_validator(mode="after")
    def _provided(self) -> Self:
        if self.scale_to_zero and self.provider != "KEDA":
            raise ValueError(
                "autoscaling.scaleToZero needs provider KEDA, because a HorizontalPodAutoscaler can not wake a pool: "
                "set provider to KEDA, or remove scaleToZero"
            )
        if self.target_queue_length is not None and self.provider == "KEDA":
            raise ValueError(
                "autoscaling.targetQueueLength is for provider HPA; KEDA scales by the sessions that stacks want: "
                "remove targetQueueLength, or set provider to HPA"
            )
        return self

    @property
    def wants_keda(self) -> bool:
        return self.provider == "KEDA"

    @property
    def may_sleep(self) -> bool:
        return self.scale_to_zero
