"""config/monitoring: what watches the operator itself, and a dashboard for everything that it runs.

Run by hand, as `python -m rlm_operator.monitored_installation > config/monitoring/monitoring.yaml`, after a change of
the operator's alerts or of the graphs; a test compares. The objects are the same for every installation.
"""

from __future__ import annotations

import json
import sys
from typing import Final

import yaml

from rlm_operator.monitoring.alerts import OPERATOR_ALERTS
from rlm_operator.monitoring.dashboards import build_dashboard, build_variable
from rlm_operator.monitoring.panels import OPERATOR
from rlm_operator.names import INFERENCE, SANDBOX
from rlm_operator.objects.dashboard import SIDECAR_LABEL
from rlm_operator.objects.monitor import build_rule, scrape_job
from rlm_operator.resource import Manifest

NAME: Final = "rlm-operator"
NAMESPACE: Final = "rlm-system"
_LABELS: Final = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": NAME}
_JOB: Final = scrape_job(NAMESPACE, NAME)


def build_installation() -> list[Manifest]:
    """PodMonitor and PrometheusRule of the operator, and one dashboard with variables for namespace and workload."""
    return [_pod_monitor(), _prometheus_rule(), _dashboard()]


def _pod_monitor() -> Manifest:
    selector = {"matchLabels": {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "operator"}}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": _metadata(NAME),
        "spec": {
            "selector": selector,
            "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "interval": "30s"}],
        },
    }


def _prometheus_rule() -> Manifest:
    rules = [build_rule(alert, _JOB, {"namespace": NAMESPACE, "workload": NAME}, None) for alert in OPERATOR_ALERTS]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": _metadata(NAME),
        "spec": {"groups": [{"name": f"{NAME}.rules", "rules": rules}]},
    }


def _dashboard() -> Manifest:
    dashboard = build_dashboard(
        title="RLM stacks and pools",
        uid="rlm-operator",
        matchers={
            INFERENCE: 'namespace=~"$namespace",job=~".+/(${stack:regex})-rlm"',
            SANDBOX: 'namespace=~"$namespace",job=~".+/(${pool:regex})-wasm"',
            OPERATOR: f'job="{_JOB}"',
        },
        variables=[
            build_variable("namespace", 'label_values({__name__=~"rlm_active_runs|wasm_spares"}, namespace)'),
            build_variable("stack", 'label_values(rlm_active_runs{namespace=~"$namespace"}, job)', "/.+\\/(.+)-rlm/"),
            build_variable("pool", 'label_values(wasm_spares{namespace=~"$namespace"}, job)', "/.+\\/(.+)-wasm/"),
        ],
    )
    metadata = _metadata(f"{NAME}-dashboard")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "labels": {SIDECAR_LABEL: "1", **metadata["labels"]}},
        "data": {f"{NAME}.json": json.dumps(dashboard, indent=1, sort_keys=True)},
    }


def _metadata(name: str) -> Manifest:
    return {"name": name, "namespace": NAMESPACE, "labels": dict(_LABELS)}


def to_yaml() -> str:
    return yaml.safe_dump_all(build_installation(), sort_keys=False, explicit_start=True, width=120)


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
