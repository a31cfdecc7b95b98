"""The metrics by the names that dashboards and autoscalers use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from prometheus_client import generate_latest

from runtime.sandbox.metrics import SandboxMetrics
from runtime.wire import Status
from tests.runtime.sandbox.samples import parse_metrics

DOCUMENTATION: Final = Path(__file__).parents[3] / "docs/observability.md"
NAMES = {
    "wasm_execution_requests_total",
    "wasm_execution_duration_seconds_bucket",
    "wasm_execution_errors_total",
    "wasm_execution_timeout_total",
    "wasm_memory_usage_bytes",
    "wasm_cpu_usage_seconds",
    "wasm_cpu_usage_seconds_total",
    "wasm_execution_queue_length",
    "wasm_sessions",
    "wasm_spares",
    "wasm_session_start_seconds_count",
    "wasm_rollbacks_total",
    "wasm_host_calls_total",
    "wasm_requests_refused_total",
    "wasm_hardening_measures_missing",
}


def test_every_promised_name_is_exposed() -> None:
    metrics = SandboxMetrics()
    metrics.executions.labels("ok").inc()
    metrics.errors.labels("timeout").inc()
    metrics.refused.labels("busy").inc()
    metrics.sessions.labels("idle").set(1)
    names = {name for name, _ in parse_metrics(generate_latest(metrics.registry).decode())}
    assert names >= NAMES


def test_every_status_begins_at_zero() -> None:
    samples = parse_metrics(generate_latest(SandboxMetrics().registry).decode())
    assert {samples["wasm_execution_requests_total", status.value] for status in Status} == {0}
    assert {label for name, label in samples if name == "wasm_execution_errors_total"} == {
        "error",
        "timeout",
        "memory",
        "crashed",
        "interrupted",
    }


def test_cpu_seconds_are_the_same_under_both_names() -> None:
    metrics = SandboxMetrics()
    metrics.cpu.inc(1.5)
    samples = parse_metrics(generate_latest(metrics.registry).decode())
    assert samples["wasm_cpu_usage_seconds", ""] == samples["wasm_cpu_usage_seconds_total", ""] == 1.5


def test_two_services_in_one_process_do_not_share_counts() -> None:
    first, second = SandboxMetrics(), SandboxMetrics()
    first.timeouts.inc()
    assert parse_metrics(generate_latest(second.registry).decode())["wasm_execution_timeout_total", ""] == 0


def test_the_documentation_lists_every_metric_with_its_type_and_no_other() -> None:
    rows = re.findall(r"^\| `(wasm_\w+)` \| (\w+) \|", DOCUMENTATION.read_text(), re.MULTILINE)
    families = [family for family in SandboxMetrics().registry.collect() if family.name.startswith("wasm_")]
    exposed = {(family.name + "_total" * (family.type == "counter"), family.type) for family in families}
    assert set(rows) == exposed
