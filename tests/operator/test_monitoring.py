"""Monitors, alerts and dashboards: made where the cluster has the kinds, over real metrics, with runbooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from rlm_operator.conditions import Reason
from rlm_operator.inputs import Inputs
from rlm_operator.monitored_installation import build_installation, to_yaml
from rlm_operator.monitoring.alerts import INFERENCE_ALERTS, OPERATOR_ALERTS, SANDBOX_ALERTS, Alert, expression_for
from rlm_operator.monitoring.children import monitoring_conditions
from rlm_operator.monitoring.dashboards import build_dashboard
from rlm_operator.monitoring.panels import PANELS
from rlm_operator.render import render
from rlm_operator.resource import Manifest, Resource
from rlm_operator.spec.monitoring import Monitoring
from tests.operator.expressions import OF_TARGETS, documented_metrics, grouped_by, selectors_in
from tests.operator.specs import IMAGES, REPOSITORY, build_pool, build_stack, load, one

SERVED = frozenset({"PodMonitor", "PrometheusRule"})
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
ALERTS: dict[str, Alert] = {alert.name: alert for alert in (*INFERENCE_ALERTS, *SANDBOX_ALERTS, *OPERATOR_ALERTS)}
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Fix"]


def children(resource: Resource, served: frozenset[str] = SERVED) -> list[Manifest]:
    """The monitoring children alone."""
    made = render(resource, Inputs(images=IMAGES, served=served))
    plain = {(child["kind"], child["metadata"]["name"]) for child in render(resource, Inputs(images=IMAGES))}
    return [child for child in made if (child["kind"], child["metadata"]["name"]) not in plain]


def kinds(resource: Resource, served: frozenset[str] = SERVED) -> list[str]:
    return [child["kind"] for child in children(resource, served)]


def dashboard_of(resource: Resource) -> Manifest:
    [text] = one(children(resource), "ConfigMap")["data"].values()
    parsed: Manifest = json.loads(text)
    return parsed


def expressions() -> Iterator[str]:
    """Of every alert and every graph."""
    for alert in ALERTS.values():
        yield expression_for(alert, "team/demo-rlm")
    for graph in build_dashboard("all", "all", dict.fromkeys(PANELS, 'job=~"team/.*"'))["panels"]:
        yield from (target["expr"] for target in graph.get("targets", []))


@pytest.mark.parametrize("resource", [build_stack(), build_pool()], ids=["stack", "pool"])
def test_by_default_monitors_and_alerts_are_made_where_the_cluster_has_the_kinds(resource: Resource) -> None:
    assert kinds(resource) == ["PodMonitor", "PrometheusRule"]
    assert kinds(resource, frozenset({"PodMonitor"})) == ["PodMonitor"]
    assert kinds(resource, frozenset()) == []


@pytest.mark.parametrize(
    ("monitoring", "made"),
    [
        ({"enabled": "Never", "dashboard": True}, []),
        ({"alerts": False}, ["PodMonitor"]),
        ({"dashboard": True}, ["PodMonitor", "PrometheusRule", "ConfigMap"]),
    ],
    ids=["never", "no alerts", "dashboard"],
)
def test_the_spec_chooses_what_is_made(monitoring: Manifest, made: list[str]) -> None:
    assert kinds(build_stack(monitoring=monitoring)) == made
    assert kinds(build_pool(monitoring=monitoring)) == made


def test_a_pod_monitor_selects_its_pods_port_and_carries_the_labels_that_a_prometheus_asks_for() -> None:
    labels = {"release": "prometheus", "app.kubernetes.io/managed-by": "me"}
    stack = build_stack(monitoring={"labels": labels, "interval": "10s"})
    monitor = one(children(stack), "PodMonitor")
    template = one(render(stack, Inputs(images=IMAGES)), "Deployment")["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in template["spec"]["containers"][0]["ports"]]
    assert endpoint["interval"] == "10s"
    found = monitor["metadata"]["labels"]
    assert (found["release"], found["app.kubernetes.io/managed-by"]) == ("prometheus", "rlm-operator")


def test_rules_speak_of_the_job_that_the_pod_monitor_makes() -> None:
    made = children(build_stack())
    metadata = one(made, "PodMonitor")["metadata"]
    [group] = one(made, "PrometheusRule")["spec"]["groups"]
    job = f'job="{metadata["namespace"]}/{metadata["name"]}"'
    assert len(group["rules"]) == len(INFERENCE_ALERTS)
    assert [rule["alert"] for rule in group["rules"] if job not in rule["expr"]] == []


@pytest.mark.parametrize("url", ["https://books.test/rlm", "https://books.test/rlm/"])
def test_every_alert_names_its_runbook_and_its_address_where_one_is_given(url: str) -> None:
    for rules in (children(build_stack()), children(build_stack(monitoring={"runbookURL": url}))):
        for rule in one(rules, "PrometheusRule")["spec"]["groups"][0]["rules"]:
            annotations = rule["annotations"]
            assert (REPOSITORY / annotations["runbook"]).is_file()
            assert annotations.get("runbook_url", f"https://books.test/rlm/{rule['alert']}.md").endswith(
                f"books.test/rlm/{rule['alert']}.md"
            )


def test_a_plane_that_may_rest_at_zero_pods_has_no_alert_about_their_absence() -> None:
    [group] = one(children(build_pool(replicas=0)), "PrometheusRule")["spec"]["groups"]
    assert {alert.name for alert in SANDBOX_ALERTS} - {rule["alert"] for rule in group["rules"]} == {"WASMPoolDown"}


def test_every_expression_is_promql_over_documented_metrics_and_their_labels() -> None:
    documented = documented_metrics()
    for expression in expressions():
        selectors = list(selectors_in(expression))
        assert selectors, expression
        for name, labels in selectors:
            assert name in documented, expression
            assert labels <= documented[name] | OF_TARGETS, expression
            assert "job" in labels, expression
        known = set().union(*(documented[name] for name, _ in selectors)) | OF_TARGETS
        assert grouped_by(expression) <= known, expression


def test_there_is_a_runbook_for_every_alert_and_none_for_another() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(ALERTS)
    index = (RUNBOOKS / "README.md").read_text()
    assert [name for name in ALERTS if f"({name}.md)" not in index] == []


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_says_what_whom_why_and_what_to_do_with_commands(name: str) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == HEADINGS
    assert re.search(r"^    kubectl ", page, re.MULTILINE)
    for link in re.findall(r"\]\((\w+[.]md)\)", page):
        assert (RUNBOOKS / link).is_file()


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbooks_queries_are_promql_over_documented_metrics(name: str) -> None:
    lines = re.findall(r"^    (?!kubectl )(.+)$", (RUNBOOKS / f"{name}.md").read_text(), re.MULTILINE)
    used = {metric for line in lines for metric, _ in selectors_in(line)}
    assert used - documented_metrics().keys() == set()


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_says_in_one_sentence_what_is_wrong(alert: Alert) -> None:
    assert alert.summary.endswith(".")
    assert len(alert.summary) <= 100
    assert re.fullmatch(r"\d+m", alert.lasting)


@pytest.mark.parametrize(
    "resource", [build_stack(monitoring={"dashboard": True}), build_pool(monitoring={"dashboard": True})]
)
def test_a_dashboard_fits_grafanas_schema_and_loses_nothing_in_it(resource: Resource) -> None:
    """Grafana's own types read it; what they do not know would be gone afterwards."""
    dashboard = dashboard_of(resource)
    read = json.loads(json.dumps(Dashboard.from_json(dashboard).to_json(), default=lambda part: part.to_json()))
    for field in ("title", "uid", "schemaVersion", "tags", "refresh", "time"):
        assert read[field] == dashboard[field]
    assert [panel["title"] for panel in read["panels"]] == [panel["title"] for panel in dashboard["panels"]]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert f"{resource.identity.namespace}/{resource.identity.name}-" in target["expr"]


def test_the_installations_monitoring_is_what_its_command_prints() -> None:
    """Made by `python -m rlm_operator.monitored_installation > config/monitoring/monitoring.yaml`."""
    assert to_yaml() == (REPOSITORY / "config" / "monitoring" / "monitoring.yaml").read_text()


def test_the_installations_dashboard_fits_grafanas_schema() -> None:
    [text] = one(build_installation(), "ConfigMap")["data"].values()
    variables = Dashboard.from_json(json.loads(text)).templating.list_val
    assert variables is not None
    assert [variable.name for variable in variables] == ["datasource", "namespace", "stack", "pool"]


def test_the_installations_monitor_selects_the_operators_pod() -> None:
    [deployment] = load(REPOSITORY / "config" / "manager" / "deployment.yaml")
    monitor = one(build_installation(), "PodMonitor")
    template = deployment["spec"]["template"]
    assert monitor["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == template["spec"]["containers"][0]["ports"][0]["name"]


def test_graphs_do_not_overlap_and_fit_into_the_width() -> None:
    panels = build_dashboard("all", "all", dict.fromkeys(PANELS, 'job="x"'))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_dashboard_config_map_has_the_sidecars_label_and_a_name_of_its_own() -> None:
    config_map = one(children(build_stack(monitoring={"dashboard": True})), "ConfigMap")
    assert config_map["metadata"]["name"] == "demo-rlm-dashboard"
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.parametrize(
    ("enabled", "served", "said"),
    [
        ("Auto", frozenset(), []),
        ("Never", frozenset(), []),
        ("Always", frozenset(), [(False, Reason.MONITORING_NOT_SERVED)]),
        ("Always", frozenset({"PodMonitor"}), [(False, Reason.MONITORING_NOT_SERVED)]),
        ("Always", SERVED, [(True, Reason.MONITORING_APPLIED)]),
    ],
)
def test_the_status_tells_of_missing_kinds_only_where_monitoring_was_insisted_on(
    enabled: str, served: frozenset[str], said: list[tuple[bool, Reason]]
) -> None:
    conditions = monitoring_conditions(Monitoring.model_validate({"enabled": enabled}), served)
    assert [(condition.holds, condition.reason) for condition in conditions] == said
