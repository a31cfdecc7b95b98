"""PodMonitor and PrometheusRule of a plane, for the Prometheus operator: what to scrape, and what to alert about.

A PodMonitor rather than a ServiceMonitor: metrics are each pod's own, and no Service has their port.
"""

from __future__ import annotations

from typing import Final

from rlm_operator.monitoring.alerts import Alert, alerts_of, expression_for
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.monitoring import Monitoring

RUNBOOKS: Final = "docs/runbooks"
"""Where this repository has a page for each alert."""


def scrape_job(namespace: str, monitor: str) -> str:
    """The label `job` of what a PodMonitor scrapes, as the Prometheus operator sets it."""
    return f"{namespace}/{monitor}"


def build_pod_monitor(plane: Plane, monitoring: Monitoring) -> Manifest:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": _metadata(plane, monitoring),
        "spec": {
            "selector": {"matchLabels": plane.selector},
            "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "interval": str(monitoring.interval)}],
        },
    }


def build_prometheus_rule(plane: Plane, monitoring: Monitoring, *, may_rest: bool) -> Manifest:
    """`may_rest`: having no pods is a state that was asked for."""
    job = scrape_job(plane.namespace, plane.workload)
    alerts = [alert for alert in alerts_of(plane.component) if not (may_rest and alert.needs_pods)]
    further = {"namespace": plane.namespace, "workload": plane.workload}
    rules = [build_rule(alert, job, further, monitoring.runbook_url) for alert in alerts]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": _metadata(plane, monitoring),
        "spec": {"groups": [{"name": f"{plane.workload}.rules", "rules": rules}]},
    }


def build_rule(alert: Alert, job: str, labels: dict[str, str], runbook_url: str | None) -> Manifest:
    """One alerting rule. `labels` say what the alert is about, for expressions that add all series up."""
    annotations = {"summary": alert.summary, "runbook": f"{RUNBOOKS}/{alert.name}.md"}
    if runbook_url is not None:
        annotations["runbook_url"] = f"{runbook_url.rstrip('/')}/{alert.name}.md"
    return {
        "alert": alert.name,
        "expr": expression_for(alert, job),
        "for": alert.lasting,
        "labels": {"severity": alert.severity, **labels},
        "annotations": annotations,
    }


def _metadata(plane: Plane, monitoring: Monitoring) -> Manifest:
    """Labels of the spec come beside ours, which tell whose an object is."""
    metadata = build_metadata(plane)
    return {**metadata, "labels": {**monitoring.labels, **metadata["labels"]}}
