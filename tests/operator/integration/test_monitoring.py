"""Monitoring objects on a real API server with the Prometheus operator's real CRDs: accepted, repaired, taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from rlm_operator.monitoring.alerts import OPERATOR_ALERTS
from rlm_operator.monitoring.panels import OPERATOR, PANELS
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.operator.expressions import selectors_in
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import REPOSITORY, SAMPLES, build_stack
from tests.operator.integration.tenant import Tenant
from tests.operator.integration.test_render import render

DISCOVERY_SECONDS = 60.0  # the operator looks for optional APIs every half minute
RELIST_SECONDS = 60.0


@pytest.fixture
def prometheus_operator(control_plane: ControlPlane) -> Iterator[None]:
    """Its CRDs, for this test."""
    install_crds(control_plane.admin, "prometheus")
    yield
    remove_crds(control_plane.admin, "prometheus")


def test_without_the_crds_a_stack_that_insists_says_so_and_gets_its_monitors_when_they_come(
    tenant: Tenant, control_plane: ControlPlane
) -> None:
    remove_crds(control_plane.admin, "prometheus")
    try:
        tenant.apply_file(SAMPLES / "monitoring.yaml")
        says = "does not serve PodMonitor and PrometheusRule: install"
        tenant.expect_condition("rlmstack", "watched", "MonitoringReady", "False", DISCOVERY_SECONDS, says=says)
        tenant.expect("deployment", "watched-rlm")
        install_crds(control_plane.admin, "prometheus")
        tenant.expect_condition("rlmstack", "watched", "MonitoringReady", "True", DISCOVERY_SECONDS)
        for resource in ("podmonitor", "prometheusrule"):
            for name in ("watched-rlm", "watched-wasm"):
                assert tenant.expect(resource, name)["metadata"]["labels"]["release"] == "kube-prometheus-stack"
        tenant.expect("configmap", "watched-wasm-dashboard")
        served = [f"--serve={kind}" for kind in ("PodMonitor", "PrometheusRule")]
        rendered = render(str(SAMPLES / "monitoring.yaml"), tenant.namespace, *served)
        monitors = [manifest for manifest in rendered if manifest["kind"] in ("PodMonitor", "PrometheusRule")]
        assert len(monitors) == 4
        for manifest in monitors:
            assert tenant.expect(manifest["kind"], manifest["metadata"]["name"])["spec"] == manifest["spec"]
        assert tenant.expect_condition("rlmstack", "watched", "Degraded", "False")
    finally:
        remove_crds(control_plane.admin, "prometheus")


def test_a_stack_that_says_nothing_is_monitored_and_an_edited_monitor_is_put_right(
    tenant: Tenant, operator: OperatorProcess, prometheus_operator: None
) -> None:
    operator.stop()
    operator.start(resync_seconds=2)
    try:
        tenant.apply(build_stack("s", tenant.namespace))
        tenant.expect("prometheusrule", "s-wasm")
        uid = tenant.expect("podmonitor", "s-rlm")["metadata"]["uid"]
        tenant.patch(
            "podmonitor", "s-rlm", {"spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "other"}}}}
        )
        eventually(
            lambda: (
                tenant.expect("podmonitor", "s-rlm")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
                == "rlm-inference"
            ),
            "the selector as it was",
            RELIST_SECONDS,
        )
        tenant.delete("podmonitor", "s-rlm")
        tenant.expect_another("podmonitor", "s-rlm", uid, RELIST_SECONDS)
        tenant.patch("rlmstack", "s", {"spec": {"monitoring": {"enabled": "Never"}}})
        tenant.expect_gone("podmonitor", "s-rlm")
        tenant.expect_gone("prometheusrule", "s-rlm")
        assert tenant.get("podmonitor", "s-wasm")
    finally:
        operator.restart()


def test_the_operator_has_every_metric_that_its_alerts_and_graphs_ask_for(operator: OperatorProcess) -> None:
    templates = [alert.expression for alert in OPERATOR_ALERTS]
    templates += [expression for panel in PANELS[OPERATOR] for expression, _ in panel.queries]
    asked = {name for template in templates for name, _ in selectors_in(template.replace("{JOB", '{job="x"'))}
    exposed = set(re.findall(r"^# TYPE (\w+) ", operator.fetch("/metrics"), re.MULTILINE))
    assert {name.removesuffix("_bucket") for name in asked} - {"up"} - exposed == set()


def test_the_installations_monitoring_is_accepted(control_plane: ControlPlane, prometheus_operator: None) -> None:
    path = REPOSITORY / "config" / "monitoring"
    control_plane.admin.run("apply", "--dry-run=server", "--validate=strict", "-k", str(path))
