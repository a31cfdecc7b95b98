"""The graphs of a dashboard: for each plane and the operator, expressions over documented metrics. Pure.

Expressions are templates as in `alerts.py`; `$__rate_interval` is Grafana's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rlm_operator.names import INFERENCE, SANDBOX

OPERATOR: Final = "operator"


@dataclass(frozen=True)
class Panel:
    """A graph. `queries`: expression and legend; units are Grafana's names."""

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]


def _quantile(quantile: float, histogram: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    rate = f"rate({histogram}_bucket{{JOB}}[$__rate_interval])"
    return f"histogram_quantile({quantile}, sum by ({labels}) ({rate}))"


PANELS: Final[Mapping[str, Sequence[Panel]]] = {
    INFERENCE: (
        Panel(
            "Runs",
            "Runs that ended, by outcome.",
            "reqps",
            [("sum by (status) (rate(rlm_inference_requests_total{JOB}[$__rate_interval]))", "{{status}}")],
        ),
        Panel(
            "Time of runs",
            "Half, and all but a twentieth, of the runs take at most this long.",
            "s",
            [
                (_quantile(0.5, "rlm_inference_duration_seconds"), "median"),
                (_quantile(0.95, "rlm_inference_duration_seconds"), "95 %"),
            ],
        ),
        Panel(
            "Runs in progress",
            "And the sessions that they wait for.",
            "short",
            [
                ("sum(rlm_active_runs{JOB})", "runs"),
                ('sum(rlm_sandbox_demand{JOB,state="waiting"})', "waiting for a session"),
            ],
        ),
        Panel(
            "Model calls",
            "By model and whether they succeeded after their retries.",
            "reqps",
            [
                (
                    "sum by (model, status) (rate(rlm_llm_calls_total{JOB}[$__rate_interval]))",
                    "{{model}} {{status}}",
                )
            ],
        ),
        Panel(
            "Time of model calls",
            "All but a twentieth of the calls take at most this long, retries included.",
            "s",
            [
                (
                    _quantile(0.95, "rlm_llm_call_duration_seconds", "model"),
                    "{{model}}",
                )
            ],
        ),
        Panel(
            "Slots for model calls",
            "Calls under way, and calls that wait for a slot.",
            "short",
            [
                ("sum(rlm_llm_calls_in_flight{JOB})", "under way"),
                ("sum(rlm_llm_queue_length{JOB})", "waiting"),
            ],
        ),
        Panel(
            "Tokens",
            "As the endpoints count them.",
            "short",
            [("sum by (model, kind) (rate(rlm_llm_tokens_total{JOB}[$__rate_interval]))", "{{model}} {{kind}}")],
        ),
        Panel(
            "Cost an hour",
            "By the price table.",
            "currencyUSD",
            [("sum by (model) (rate(rlm_llm_cost_dollars_total{JOB}[$__rate_interval])) * 3600", "{{model}}")],
        ),
        Panel(
            "Refused, stopped, lost",
            "Requests refused, runs ended by a budget, sessions lost.",
            "reqps",
            [
                ("sum by (code) (rate(rlm_refused_requests_total{JOB}[$__rate_interval]))", "refused: {{code}}"),
                ("sum by (reason) (rate(rlm_budget_stops_total{JOB}[$__rate_interval]))", "budget: {{reason}}"),
                (
                    "sum by (outcome) (rate(rlm_session_recoveries_total{JOB}[$__rate_interval]))",
                    "session {{outcome}}",
                ),
            ],
        ),
    ),
    SANDBOX: (
        Panel(
            "Cells",
            "By how they ended; a suspended one waits for a host call.",
            "reqps",
            [("sum by (status) (rate(wasm_execution_requests_total{JOB}[$__rate_interval]))", "{{status}}")],
        ),
        Panel(
            "Time of cells",
            "Half, and all but a twentieth, of the cells take at most this long.",
            "s",
            [
                (_quantile(0.5, "wasm_execution_duration_seconds"), "median"),
                (_quantile(0.95, "wasm_execution_duration_seconds"), "95 %"),
            ],
        ),
        Panel(
            "Cells that wait",
            "For a slot, by pod.",
            "short",
            [("wasm_execution_queue_length{JOB}", "{{pod}}")],
        ),
        Panel(
            "Sessions",
            "Live ones by state, and those that wait ready.",
            "short",
            [("sum by (state) (wasm_sessions{JOB})", "{{state}}"), ("sum(wasm_spares{JOB})", "spare")],
        ),
        Panel(
            "Memory of pods",
            "Of the container's limit.",
            "percentunit",
            [("wasm_pod_memory_used_bytes{JOB} / (wasm_pod_memory_limit_bytes{JOB} > 0)", "{{pod}}")],
        ),
        Panel(
            "CPU",
            "Of cells and variables, in cores.",
            "short",
            [("sum by (pod) (rate(wasm_cpu_usage_seconds_total{JOB}[$__rate_interval]))", "{{pod}}")],
        ),
        Panel(
            "Time to a session",
            "All but a twentieth of the sessions have their process within this time.",
            "s",
            [
                (
                    _quantile(0.95, "wasm_session_start_seconds"),
                    "95 %",
                )
            ],
        ),
        Panel(
            "Refused, killed, rolled back",
            "Requests answered with an error, cells killed for memory or time, rollbacks.",
            "reqps",
            [
                ("sum by (code) (rate(wasm_requests_refused_total{JOB}[$__rate_interval]))", "refused: {{code}}"),
                ("sum(rate(wasm_memory_kills_total{JOB}[$__rate_interval]))", "killed for memory"),
                ("sum(rate(wasm_execution_timeout_total{JOB}[$__rate_interval]))", "killed for time"),
                ("sum(rate(wasm_rollbacks_total{JOB}[$__rate_interval]))", "rolled back"),
            ],
        ),
        Panel(
            "Hardening measures missing",
            "Zero is well.",
            "short",
            [("max by (pod) (wasm_hardening_measures_missing{JOB})", "{{pod}}")],
        ),
    ),
    OPERATOR: (
        Panel(
            "Reconciles",
            "By result.",
            "reqps",
            [
                (
                    "sum by (kind, result) (rate(rlm_operator_reconciles_total{JOB}[$__rate_interval]))",
                    "{{kind}} {{result}}",
                )
            ],
        ),
        Panel(
            "Time of reconciles",
            "All but a twentieth take at most this long.",
            "s",
            [
                (
                    _quantile(0.95, "rlm_operator_reconcile_seconds", "kind"),
                    "{{kind}}",
                )
            ],
        ),
        Panel(
            "Waiting for the operator",
            "Resources in its queue, and those that it knows.",
            "short",
            [
                ("sum(rlm_operator_queue_depth{JOB})", "waiting"),
                ("sum(rlm_operator_resources{JOB})", "known"),
            ],
        ),
        Panel(
            "Writes",
            "Objects written or deleted; none while nothing changes.",
            "reqps",
            [("sum by (kind) (rate(rlm_operator_writes_total{JOB}[$__rate_interval]))", "{{kind}}")],
        ),
    ),
}
