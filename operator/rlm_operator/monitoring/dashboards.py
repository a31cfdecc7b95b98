"""A dashboard as JSON in Grafana's schema: a row of graphs for each plane. Pure.

Used for the ConfigMap of one resource and, with variables in the place of names, for the dashboard of a whole
installation in config/monitoring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rlm_operator.monitoring.alerts import fill_job
from rlm_operator.monitoring.panels import OPERATOR, PANELS, Panel
from rlm_operator.names import INFERENCE, SANDBOX
from rlm_operator.resource import Manifest

_SCHEMA_VERSION: Final = 39  # Grafana 11; later ones migrate it when they load it
_PANEL_WIDTH: Final = 8  # of 24
_PANEL_HEIGHT: Final = 7
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


_TITLES: Final = {INFERENCE: "Inference", SANDBOX: "Sandboxes", OPERATOR: "Operator"}


def build_dashboard(title: str, uid: str, matchers: Mapping[str, str], variables: Sequence[Manifest] = ()) -> Manifest:
    """A dashboard with a row for each of `matchers`: plane to the label matcher of its scrape job.

    `variables` come after that of the data source.
    """
    return {
        "title": title,
        "uid": uid,
        "tags": ["rlm-operator"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource_variable(), *variables]},
        "panels": _number(_panels(matchers)),
    }


def build_variable(name: str, query: str, regex: str = "") -> Manifest:
    """A variable whose values a query finds, as far as `regex` captures them; All at first."""
    return {
        "name": name,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "regex": regex,
        "includeAll": True,
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
    }


def _datasource_variable() -> Manifest:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "refresh": 1}


def _panels(matchers: Mapping[str, str]) -> Iterator[Manifest]:
    top = 0
    for component, matcher in matchers.items():
        yield {
            "type": "row",
            "title": _TITLES[component],
            "collapsed": False,
            "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": top},
        }
        top += 1
        panels = PANELS[component]
        for place, panel in enumerate(panels):
            x = place * _PANEL_WIDTH % 24
            y = top + place * _PANEL_WIDTH // 24 * _PANEL_HEIGHT
            yield {**_graph(panel, matcher), "gridPos": {"h": _PANEL_HEIGHT, "w": _PANEL_WIDTH, "x": x, "y": y}}
        top += -(-len(panels) * _PANEL_WIDTH // 24) * _PANEL_HEIGHT


def _graph(panel: Panel, matcher: str) -> Manifest:
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": fill_job(expression, matcher), "legendFormat": legend}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _number(panels: Iterator[Manifest]) -> list[Manifest]:
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]
