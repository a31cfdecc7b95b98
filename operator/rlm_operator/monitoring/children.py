"""The monitoring children of a resource, and what the status says of them. Pure.

Called by `render.py` and `status.py`.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.objects.dashboard import build_dashboard_config_map
from rlm_operator.objects.monitor import build_pod_monitor, build_prometheus_rule
from rlm_operator.objects.owner import Plane
from rlm_operator.resource import Manifest
from rlm_operator.spec.monitoring import Monitoring

POD_MONITOR: Final = "PodMonitor"
PROMETHEUS_RULE: Final = "PrometheusRule"


def monitoring_children(plane: Plane, monitoring: Monitoring, served: Set[str], *, may_rest: bool) -> list[Manifest]:
    """What the cluster has the kinds for. `may_rest`: having no pods is a state that was asked for."""
    if monitoring.enabled == "Never":
        return []
    children = []
    if POD_MONITOR in served:
        children.append(build_pod_monitor(plane, monitoring))
    if monitoring.alerts and PROMETHEUS_RULE in served:
        children.append(build_prometheus_rule(plane, monitoring, may_rest=may_rest))
    if monitoring.dashboard and POD_MONITOR in served:
        children.append(build_dashboard_config_map(plane))
    return children


def monitoring_conditions(monitoring: Monitoring, served: Set[str]) -> list[Condition]:
    """One where the spec insists on monitoring; none where it is made as far as the cluster can."""
    if monitoring.enabled != "Always":
        return []
    wanted = [POD_MONITOR, *([PROMETHEUS_RULE] if monitoring.alerts else [])]
    missing = [kind for kind in wanted if kind not in served]
    kind = ConditionType.MONITORING_READY
    if missing:
        words = (
            f"monitoring.enabled is Always, but the cluster does not serve {' and '.join(missing)}: install the "
            "Prometheus operator's CRDs, or set monitoring.enabled to Auto"
        )
        return [Condition(kind, False, Reason.MONITORING_NOT_SERVED, words)]
    words = "Prometheus is told by a PodMonitor" + (" and a PrometheusRule." if monitoring.alerts else ".")
    return [Condition(kind, True, Reason.MONITORING_APPLIED, words)]
