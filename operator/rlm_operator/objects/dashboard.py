"""A Grafana dashboard in a ConfigMap, as the dashboard sidecar of Grafana's chart picks it up."""

from __future__ import annotations

import json
from typing import Final

from rlm_operator.digest import digest
from rlm_operator.monitoring.dashboards import build_dashboard
from rlm_operator.names import INFERENCE
from rlm_operator.objects.monitor import scrape_job
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest

SIDECAR_LABEL: Final = "grafana_dashboard"


def build_dashboard_config_map(plane: Plane) -> Manifest:
    """Its name tells that it holds no settings."""
    name = f"{plane.workload}-dashboard"
    words = "RLM stack" if plane.component == INFERENCE else "Sandbox pool"
    dashboard = build_dashboard(
        title=f"{words} {plane.namespace}/{plane.instance}",
        uid=f"rlm-{digest([plane.namespace, plane.workload])}",
        matchers={plane.component: f'job="{scrape_job(plane.namespace, plane.workload)}"'},
    )
    metadata = build_metadata(plane, name)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "labels": {SIDECAR_LABEL: "1", **metadata["labels"]}},
        "data": {f"{plane.namespace}-{plane.workload}.json": json.dumps(dashboard, sort_keys=True)},
    }
