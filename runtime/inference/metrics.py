"""The inference plane's metrics, by the names that dashboards and alerts use.

One `Metrics` per process with a registry of its own; labels come from closed sets (error codes, cell statuses, the
configured models), never from callers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.inference.errors import BudgetReason
from runtime.inference.usage import Usage
from runtime.tls import EXPIRY_HELP, EXPIRY_METRIC
from runtime.wire import Status

_RUN_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_COUNT_BUCKETS = (1, 2, 3, 5, 8, 13, 21, 30, 50, 100)
_DEPTH_BUCKETS = (0, 1, 2, 3, 5, 10)


class Recovery(StrEnum):
    """What came of the attempt to get back a session that was lost."""

    RECOVERED = "recovered"
    DIVERGED = "diverged"  # it goes on, but its replay did not do what the first time did
    FAILED = "failed"


class CacheUse(StrEnum):
    """How a run over uploaded files got its context."""

    HIT = "hit"  # a copy of a session that had it
    MISS = "miss"  # it was brought into such a session first
    BYPASSED = "bypassed"  # it was sent to the run's own session: no room for a copy, or the pool cannot fork


class PeerOutcome(StrEnum):
    """What came of asking another replica of this service."""

    ANSWERED = "answered"
    GONE = "gone"  # nothing listens there
    UNREACHABLE = "unreachable"


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rlm_inference_requests_total",
            "Runs, by outcome: ok, cancelled or an error code.",
            ["status"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "rlm_refused_requests_total",
            "Requests refused before a run, by error code.",
            ["code"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "rlm_inference_duration_seconds",
            "Time from request to answer.",
            buckets=_RUN_BUCKETS,
            registry=self.registry,
        )
        self.code_generated = Counter(
            "rlm_code_generated_total", "Code blocks that root models wrote.", registry=self.registry
        )
        self.code_executions = Counter(
            "rlm_code_execution_requests_total",
            "Cells run in the sandbox, by outcome.",
            ["status"],
            registry=self.registry,
        )
        self.active_runs = Gauge("rlm_active_runs", "Runs in progress.", registry=self.registry)
        self.sandbox_demand = Gauge(
            "rlm_sandbox_demand",
            "Sessions of this process in the sandbox: those that runs wait for, and those they have.",
            ["state"],
            registry=self.registry,
        )
        self.context_cache = Counter(
            "rlm_context_cache_total",
            "Sessions of runs over large uploaded files, by how they got the context.",
            ["result"],
            registry=self.registry,
        )
        self.sandbox_servers = Gauge(
            "rlm_sandbox_servers",
            "Servers of the sandbox pool that this process knows, by the state of their circuit breakers.",
            ["state"],
            registry=self.registry,
        )
        self.recoveries = Counter(
            "rlm_session_recoveries_total",
            "Sessions that were lost during a run, by what came of rebuilding them.",
            ["outcome"],
            registry=self.registry,
        )
        self.iterations = Histogram(
            "rlm_run_iterations",
            "Turns of a run's own model, by the kind of run: root or child.",
            ["role"],
            buckets=_COUNT_BUCKETS,
            registry=self.registry,
        )
        self.depth = Histogram(
            "rlm_run_depth",
            "Levels of child runs that runs used; 0: none.",
            buckets=_DEPTH_BUCKETS,
            registry=self.registry,
        )
        self.llm_queue = Gauge(
            "rlm_llm_queue_length", "Model calls that wait for a slot of the process.", registry=self.registry
        )
        self.llm_in_flight = Gauge("rlm_llm_calls_in_flight", "Model calls under way.", registry=self.registry)
        self.reused_answers = Counter(
            "rlm_subcalls_reused_total",
            "Sub-calls answered by an equal one of the same run; no call was made.",
            registry=self.registry,
        )
        self.llm_calls = Counter(
            "rlm_llm_calls_total", "Model calls, after retries.", ["model", "role", "status"], registry=self.registry
        )
        self.llm_tokens = Counter(
            "rlm_llm_tokens_total",
            "Tokens as endpoints count them.",
            ["model", "role", "kind"],
            registry=self.registry,
        )
        self.llm_duration = Histogram(
            "rlm_llm_call_duration_seconds",
            "Time of one model call with its retries.",
            ["model", "role"],
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self.llm_cost = Counter(
            "rlm_llm_cost_dollars_total", "USD by the price table.", ["model", "role"], registry=self.registry
        )
        self.tool_calls = Counter(
            "rlm_tool_calls_total",
            "Calls of tools, by outcome: ok or failed.",
            ["tool", "status"],
            registry=self.registry,
        )
        self.tool_duration = Histogram(
            "rlm_tool_call_duration_seconds",
            "Time of one tool call.",
            ["tool"],
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self.child_runs = Counter(
            "rlm_child_runs_total", "Child runs, by outcome: ok or failed.", ["status"], registry=self.registry
        )
        self.diverged_runs = Counter(
            "rlm_diverged_runs_total",
            "Runs in which code that was run again after a loss did something else.",
            registry=self.registry,
        )
        self.peers = Gauge(
            "rlm_peers", "Other replicas of this service that keep files and runs of their own.", registry=self.registry
        )
        self.peer_requests = Counter(
            "rlm_peer_requests_total",
            "Requests to other replicas, by what for and what came of it.",
            ["purpose", "outcome"],
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(EXPIRY_METRIC, EXPIRY_HELP, ["role"], registry=self.registry)
        self.budget_stops = Counter(
            "rlm_budget_stops_total", "Runs ended by a budget.", ["reason"], registry=self.registry
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """What is there before it first happens can be alerted on."""
        for state in ("waiting", "live"):
            self.sandbox_demand.labels(state)
        for outcome in Recovery:
            self.recoveries.labels(outcome.value)
        for use in CacheUse:
            self.context_cache.labels(use.value)
        for reason in BudgetReason:
            self.budget_stops.labels(reason.value)

    def tool_ended(self, tool: str, seconds: float, *, ok: bool) -> None:
        """`tool` is one that the stack declares."""
        self.tool_calls.labels(tool, "ok" if ok else "failed").inc()
        self.tool_duration.labels(tool).observe(seconds)

    def peer_asked(self, purpose: str, outcome: PeerOutcome) -> None:
        """`purpose` is one of a closed set."""
        self.peer_requests.labels(purpose, outcome.value).inc()

    def cell_ended(self, status: Status) -> None:
        self.code_executions.labels(status.value).inc()

    @contextmanager
    def llm_call(self, model: str, role: str) -> Iterator[LlmCall]:
        """Times one call; it counts as failed unless `succeeded` was called."""
        call = LlmCall(self, model, role)
        started = time.monotonic()
        try:
            with self.llm_in_flight.track_inprogress():
                yield call
        finally:
            self.llm_duration.labels(model, role).observe(time.monotonic() - started)
            self.llm_calls.labels(model, role, "ok" if call.ok else "failed").inc()


class LlmCall:
    def __init__(self, metrics: Metrics, model: str, role: str) -> None:
        self._metrics, self._model, self._role = metrics, model, role
        self.ok = False

    def succeeded(self, usage: Usage) -> None:
        self.ok = True
        tokens = self._metrics.llm_tokens
        tokens.labels(self._model, self._role, "prompt").inc(usage.prompt_tokens)
        tokens.labels(self._model, self._role, "completion").inc(usage.completion_tokens)
        self._metrics.llm_cost.labels(self._model, self._role).inc(usage.cost or 0.0)
