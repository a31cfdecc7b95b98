"""What both planes' pods have in common in a spec: how many, how large, how they log."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlm_operator.spec.autoscaling import Autoscaling
from rlm_operator.spec.base import Quantity, ResourceQuantity, SpecModel
from rlm_operator.spec.pod_template import PodTemplate

Replicas = Annotated[int, Field(ge=0, le=1000)]
PercentOrNumber = (
    Annotated[int, Field(ge=0, le=1000)] | Annotated[str, Field(max_length=4, pattern=r"^(100|[1-9]?[0-9])%$")]
)


class DisruptionBudget(SpecModel):
    """Pods that a drain must leave (minAvailable) or may take (maxUnavailable); a number or a percentage."""

    min_available: PercentOrNumber | None = None
    max_unavailable: PercentOrNumber | None = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.min_available is not None and self.max_unavailable is not None:
            raise ValueError(
                "disruptionBudget takes minAvailable or maxUnavailable, not both: remove one of them",
            )
        if self.max_unavailable in (0, "0%"):
            raise ValueError(
                "disruptionBudget.maxUnavailable 0 would block every node drain: "
                "write at least 1, or leave disruptionBudget out"
            )
        return self

    def kept(self, floor: int) -> int:
        """Pods that minAvailable keeps of `floor`; a percentage is rounded up, as Kubernetes does."""
        if self.min_available is None:
            return 0
        if isinstance(self.min_available, int):
            return self.min_available
        return math.ceil(int(re.sub("%", "", self.min_available)) * floor / 100)


class ResourceList(SpecModel):
    """Amounts of the resources that a container may name."""

    cpu: ResourceQuantity | None = None
    memory: ResourceQuantity | None = None


class Resources(SpecModel):
    """Requests and limits of a container; `filled` adds what was not said."""

    requests: ResourceList = ResourceList()
    limits: ResourceList = ResourceList()

    @model_validator(mode="after")
    def _within(self) -> Self:
        pairs = ((self.requests.cpu, self.limits.cpu), (self.requests.memory, self.limits.memory))
        if any(request and limit and request.value > limit.value for request, limit in pairs):
            raise ValueError(
                "resources.requests must not exceed resources.limits: lower the request or raise the limit"
            )
        return self

    def filled(self) -> dict[str, dict[str, str]]:
        """Requests and limits for CPU and memory, all four present, no request above its limit."""
        cpu = _filled(self.requests.cpu, self.limits.cpu, Quantity("500m"), Quantity("1"))
        memory = _filled(self.requests.memory, self.limits.memory, Quantity("512Mi"), Quantity("1Gi"))
        return {
            "requests": {"cpu": str(cpu[0]), "memory": str(memory[0])},
            "limits": {"cpu": str(cpu[1]), "memory": str(memory[1])},
        }


def _filled(
    request: Quantity | None, limit: Quantity | None, usual_request: Quantity, usual_limit: Quantity
) -> tuple[Quantity, Quantity]:
    limit = limit or (max(request, usual_limit, key=lambda q: q.value) if request else usual_limit)
    request = request or min(usual_request, limit, key=lambda q: q.value)
    return request, limit


class LogSettings(SpecModel):
    """Least severe level and form of log lines, and whether there is an audit log beside them."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "text"] = "json"
    audit: bool = True


class Workload(SpecModel):
    """A scaled set of equal pods."""

    replicas: Replicas = 3
    disruption_budget: DisruptionBudget | None = None
    resources: Resources = Resources()
    autoscaling: Autoscaling | None = None
    pod_template: PodTemplate = PodTemplate()

    @property
    def floor(self) -> int:
        """Fewest pods that are wanted while any are."""
        return self.autoscaling.min_replicas if self.autoscaling else self.replicas

    @property
    def start(self) -> int:
        """Pods to begin with: `replicas`, within the autoscaler's bounds."""
        if self.autoscaling is None:
            return self.replicas
        return min(max(self.replicas, self.autoscaling.min_replicas), self.autoscaling.max_replicas)

    @model_validator(mode="after")
    def _drainable(self) -> Self:
        budget = self.disruption_budget
        if budget is not None and self.floor > 0 and budget.kept(self.floor) >= self.floor:
            raise ValueError(
                "disruptionBudget.minAvailable keeps all pods, which would block every node drain: "
                "lower minAvailable, or raise replicas (with autoscaling: minReplicas) above it"
            )
        return self
