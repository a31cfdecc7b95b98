"""What PromQL expressions ask for: the metrics in them, parsed by Prometheus' own grammar, and those that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import promql_parser

from tests.operator.specs import REPOSITORY

_OBSERVABILITY: Final = REPOSITORY / "docs" / "observability.md"
_ROW: Final = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|", re.MULTILINE)
_PARTS_OF_HISTOGRAM: Final = ("_bucket", "_sum", "_count")
OF_PROMETHEUS: Final = {"up": {"job"}}
"""Made by Prometheus for every target."""
OF_TARGETS: Final = {"job", "namespace", "pod", "instance", "le"}
"""Labels that scraping adds, or histograms have."""


def selectors_in(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of an expression with the labels that it is selected by. Raises ValueError where it is no PromQL."""
    # Grafana fills its own variable in before Prometheus sees it.
    yield from _walk(promql_parser.parse(expression.replace("$__rate_interval", "5m")))


def grouped_by(expression: str) -> set[str]:
    """Labels that sums keep."""
    return {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(",")}


def documented_metrics() -> Mapping[str, set[str]]:
    """Every name that docs/observability.md lists, with its labels; histograms by the names of their series."""
    metrics: dict[str, set[str]] = dict(OF_PROMETHEUS)
    text = _OBSERVABILITY.read_text()
    metrics["tls_certificate_expiration_timestamp_seconds"] = {"role"}
    for name, kind, labels in _ROW.findall(text):
        found = set(re.findall(r"`(\w+)`", labels))
        for part in _PARTS_OF_HISTOGRAM if kind == "histogram" else ("",):
            metrics[name + part] = found
    return metrics


def _walk(node: Any) -> Iterator[tuple[str, set[str]]]:
    match type(node).__name__:
        case "VectorSelector":
            yield node.name, {matcher.name for matcher in node.matchers.matchers}
        case "MatrixSelector":
            yield from _walk(node.vector_selector)
        case "BinaryExpr":
            yield from _walk(node.lhs)
            yield from _walk(node.rhs)
        case "Call":
            for argument in node.args:
                yield from _walk(argument)
        case "NumberLiteral" | "StringLiteral":
            return
        case _:  # AggregateExpr, ParenExpr, UnaryExpr, SubqueryExpr
            yield from _walk(node.expr)
