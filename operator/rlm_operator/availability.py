"""How many pods a plane has: its replica count, who changes it, and what a drain must leave. Pure.

`render.py` calls it for both planes. Who scales depends on what the cluster serves: KEDA where it is asked for and
there, the Kubernetes autoscaler otherwise.
"""

from __future__ import annotations

from rlm_operator.capacity import sessions_per_pod
from rlm_operator.inputs import Inputs
from rlm_operator.kinds import CUSTOM_METRICS
from rlm_operator.objects.autoscaler import build_autoscaler, can_sleep, uses_keda
from rlm_operator.objects.demand import build_demand_service
from rlm_operator.objects.deployment import replicas_to_apply
from rlm_operator.objects.disruption_budget import build_disruption_budget
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.scaled_object import build_scaled_object
from rlm_operator.resource import Manifest
from rlm_operator.spec.autoscaling import SandboxAutoscaling
from rlm_operator.spec.pool import SandboxPoolSpec
from rlm_operator.spec.stack import RLMStackSpec
from rlm_operator.spec.workload import Workload


def replicas_wanted(workload: Workload, inputs: Inputs, *, suspended: bool) -> int | None:
    """The count to write into the Deployment; None leaves it to the autoscaler."""
    may_sleep = can_sleep(workload.autoscaling, inputs.served)
    return replicas_to_apply(workload, inputs.live, suspended=suspended, may_sleep=may_sleep)


def may_rest(spec: RLMStackSpec | SandboxPoolSpec, served: frozenset[str]) -> bool:
    """Whether it is meant that there are no pods: none wanted, suspended, or asleep."""
    workload = spec.inference if isinstance(spec, RLMStackSpec) else spec
    return spec.suspend or workload.floor == 0 or can_sleep(workload.autoscaling, served)


def build_availability(plane: Plane, workload: Workload, inputs: Inputs) -> list[Manifest]:
    """The disruption budget and the autoscaler."""
    budget = build_disruption_budget(plane, workload)
    return [*([] if budget is None else [budget]), *_scalers(plane, workload, inputs)]


def _scalers(plane: Plane, workload: Workload, inputs: Inputs) -> list[Manifest]:
    autoscaling = workload.autoscaling
    if autoscaling is None:
        return []
    if (
        isinstance(workload, SandboxPoolSpec)
        and workload.autoscaling
        and uses_keda(workload.autoscaling, inputs.served)
    ):
        return _keda(plane, workload, workload.autoscaling)
    return [build_autoscaler(plane, autoscaling, custom_metrics=CUSTOM_METRICS in inputs.served)]


def _keda(plane: Plane, pool: SandboxPoolSpec, autoscaling: SandboxAutoscaling) -> list[Manifest]:
    scaled = build_scaled_object(plane, autoscaling, sessions_per_pod(pool), suspended=pool.suspend)
    return [build_demand_service(plane), scaled]
