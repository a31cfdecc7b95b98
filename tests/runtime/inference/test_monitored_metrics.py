"""What alerts and dashboards ask for is what the two services really answer at /metrics."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable

import pytest

from rlm_operator.monitoring.alerts import INFERENCE_ALERTS, SANDBOX_ALERTS, Alert
from rlm_operator.monitoring.panels import PANELS
from tests.operator.expressions import OF_PROMETHEUS, selectors_in
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.service import Service

ONLY_WITH_CERTIFICATES = {"tls_certificate_expiration_timestamp_seconds"}


def asked_for(alerts: Iterable[Alert], component: str) -> set[str]:
    templates = [alert.expression for alert in alerts]
    templates += [expression for panel in PANELS[component] for expression, _ in panel.queries]
    names = {name for template in templates for name, _ in selectors_in(template.replace("{JOB", '{job="x"'))}
    return names - OF_PROMETHEUS.keys() - ONLY_WITH_CERTIFICATES


def families(text: str) -> set[str]:
    """Names of series: families are there before their first sample, histograms under the names of their parts."""
    found: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found


async def test_the_inference_service_has_every_metric_that_is_asked_for(service: Service) -> None:
    async with service.http.get(f"{service.url}/metrics") as response:
        text = await response.text()
    assert asked_for(INFERENCE_ALERTS, "inference") - families(text) == set()


def test_the_sandbox_has_every_metric_that_is_asked_for(sandbox: SandboxProcess) -> None:
    with urllib.request.urlopen(f"{sandbox.url}/metrics", timeout=10) as response:  # noqa: S310  # loopback
        text = response.read().decode()
    assert asked_for(SANDBOX_ALERTS, "sandbox") - families(text) == set()


@pytest.mark.parametrize("component", ["inference", "sandbox"])
def test_there_is_something_to_ask_for(component: str) -> None:
    assert len(asked_for([], component)) > 5
