"""Metrics of the sandbox service; the first six names are fixed by the mission.

Counters carry Prometheus' `_total`; where the mission's name is without it, both are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily

from runtime.tls import EXPIRY_HELP, EXPIRY_METRIC
from runtime.wire import Status

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _CpuByTheMissionsName:
    """`wasm_cpu_usage_seconds` beside the counter with `_total`: a registry takes only one family of that stem."""

    def __init__(self, metrics: SandboxMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        (family,) = self._metrics.cpu.collect()
        total = next(sample.value for sample in family.samples if sample.name.endswith("_total"))
        yield GaugeMetricFamily("wasm_cpu_usage_seconds", "CPU time of all cells and variables", value=total)


class SandboxMetrics:
    """One instance per service, on its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.executions = Counter(
            "wasm_execution_requests_total", "Cells by how they ended", ["status"], registry=registry
        )
        self.duration = Histogram(
            "wasm_execution_duration_seconds", "Running time of cells", buckets=SECONDS, registry=registry
        )
        self.errors = Counter(
            "wasm_execution_errors_total", "Cells that did not end ok, by reason", ["reason"], registry=registry
        )
        self.timeouts = Counter("wasm_execution_timeout_total", "Cells killed at their timeout", registry=registry)
        self.memory = Gauge("wasm_memory_usage_bytes", "Guest memory of the sessions that answered", registry=registry)
        self.cpu = Counter("wasm_cpu_usage_seconds_total", "CPU time of all cells and variables", registry=registry)
        registry.register(_CpuByTheMissionsName(self))
        self.queue = Gauge("wasm_execution_queue_length", "Cells that wait for a slot", registry=registry)
        self.sessions = Gauge("wasm_sessions", "Live sessions by state", ["state"], registry=registry)
        self.spares = Gauge("wasm_spares", "Sessions that wait ready", registry=registry)
        self.session_start = Histogram(
            "wasm_session_start_seconds", "Time to get a process for a session", buckets=SECONDS, registry=registry
        )
        self.rollbacks = Counter(
            "wasm_rollbacks_total", "Cells after which the state was rolled back", registry=registry
        )
        self.expired = Counter(
            "wasm_sessions_expired_total", "Sessions ended by the server, by reason", ["reason"], registry=registry
        )
        self.memory_kills = Counter(
            "wasm_memory_kills_total", "Cells killed because the server ran short of memory", registry=registry
        )
        self.pod_memory = Gauge(
            "wasm_pod_memory_used_bytes", "Memory of this container, as its limit counts it", registry=registry
        )
        self.pod_memory_limit = Gauge(
            "wasm_pod_memory_limit_bytes", "Limit of this container's memory", registry=registry
        )
        self.kept = Gauge(
            "wasm_server_kept_bytes", "Replies and host calls that the server keeps for its sessions", registry=registry
        )
        self.host_calls = Counter("wasm_host_calls_total", "Host calls that suspended a cell", registry=registry)
        self.cache_hits = Counter(
            "wasm_execution_cache_hits_total", "Requests answered from the cache of replies", registry=registry
        )
        self.refused = Counter(
            "wasm_requests_refused_total", "Requests answered with an error, by code", ["code"], registry=registry
        )
        self.certificate_expiry = Gauge(EXPIRY_METRIC, EXPIRY_HELP, ["role"], registry=registry)
        self.missing_measures = Gauge(
            "wasm_hardening_measures_missing", "Hardening measures that this node cannot take", registry=registry
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """A first event is a rise from zero, not a series that comes out of nowhere, which rates would miss."""
        for status in Status:
            self.executions.labels(status.value)
            if status not in (Status.OK, Status.SUSPENDED):
                self.errors.labels(status.value)
