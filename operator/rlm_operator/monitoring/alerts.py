"""The alerts of each plane: an expression over documented metrics, how long it must hold, and its runbook's name.

Expressions are templates: `JOB` is the plane's scrape job, which the Prometheus operator names after the PodMonitor.
Every alert has the page docs/runbooks/NAME.md. `objects/prometheus_rule.py` renders them. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from rlm_operator.names import INFERENCE, SANDBOX

Severity = Literal["warning", "critical"]


@dataclass(frozen=True)
class Alert:
    """`lasting`: how long `expression` must hold, as Prometheus writes durations. `needs_pods`: not for a plane that
    may rest at zero pods."""

    name: str
    expression: str
    lasting: str
    severity: Severity
    summary: str
    needs_pods: bool = False


_CERTIFICATE: Final = Alert(
    "RLMCertificateExpires",
    "min(tls_certificate_expiration_timestamp_seconds{JOB}) - time() < 14400",
    "10m",
    "critical",
    "A certificate of these pods expires within four hours and was not renewed.",
)

INFERENCE_ALERTS: Final = (
    Alert(
        "RLMInferenceDown",
        "(sum(up{JOB}) or vector(0)) == 0",
        "5m",
        "critical",
        "No inference pod answers: nobody gets an answer from this stack.",
        needs_pods=True,
    ),
    Alert(
        "RLMRunsFail",
        'sum(rate(rlm_inference_requests_total{JOB,status!~"ok|cancelled"}[10m]))'
        " / sum(rate(rlm_inference_requests_total{JOB}[10m])) > 0.1",
        "10m",
        "critical",
        "More than a tenth of the runs end with an error.",
    ),
    Alert(
        "RLMModelCallsFail",
        'sum by (model) (rate(rlm_llm_calls_total{JOB,status="failed"}[10m]))'
        " / sum by (model) (rate(rlm_llm_calls_total{JOB}[10m])) > 0.1",
        "10m",
        "critical",
        "More than a tenth of the calls of a model fail after their retries.",
    ),
    Alert(
        "RLMModelCallsWait",
        "sum(rlm_llm_queue_length{JOB}) > 2 * sum(rlm_llm_calls_in_flight{JOB}) > 0",
        "15m",
        "warning",
        "More than twice as many model calls wait for a slot as are under way.",
    ),
    Alert(
        "RLMRunsWaitForSandbox",
        'sum(rlm_sandbox_demand{JOB,state="waiting"}) > 0',
        "5m",
        "warning",
        "Runs wait for a sandbox session.",
    ),
    Alert(
        "RLMSandboxServersFail",
        'sum(rlm_sandbox_servers{JOB,state="open"}) > 0',
        "10m",
        "warning",
        "Inference pods have given up on sandbox servers that do not answer.",
    ),
    Alert(
        "RLMSessionsLost",
        'sum(increase(rlm_session_recoveries_total{JOB,outcome!="recovered"}[30m])) > 0',
        "0m",
        "warning",
        "Runs lost their sandbox session and could not go on as they were.",
    ),
    Alert(
        "RLMRequestsRefused",
        'sum(rate(rlm_refused_requests_total{JOB,code=~"busy|rate_limit_exceeded|storage_full"}[10m])) > 0.1',
        "15m",
        "warning",
        "Callers are refused because a limit of the stack is reached.",
    ),
    _CERTIFICATE,
)

SANDBOX_ALERTS: Final = (
    Alert(
        "WASMPoolDown",
        "(sum(up{JOB}) or vector(0)) == 0",
        "5m",
        "critical",
        "No sandbox pod answers: stacks that use this pool cannot run code.",
        needs_pods=True,
    ),
    Alert(
        "WASMQueueLong",
        "avg(wasm_execution_queue_length{JOB}) > 10",
        "10m",
        "warning",
        "On average more than ten cells wait in each sandbox pod.",
    ),
    Alert(
        "WASMCellsTimeOut",
        "sum(rate(wasm_execution_timeout_total{JOB}[15m]))"
        ' / sum(rate(wasm_execution_requests_total{JOB,status!="suspended"}[15m])) > 0.2',
        "15m",
        "warning",
        "More than a fifth of the cells are killed at their timeout.",
    ),
    Alert(
        "WASMPodMemoryShort",
        "max(wasm_pod_memory_used_bytes{JOB} / (wasm_pod_memory_limit_bytes{JOB} > 0)) > 0.95",
        "10m",
        "warning",
        "A sandbox pod is at its memory limit.",
    ),
    Alert(
        "WASMMemoryKills",
        "sum(increase(wasm_memory_kills_total{JOB}[30m])) > 3",
        "0m",
        "warning",
        "Cells are killed because their pod runs short of memory.",
    ),
    Alert(
        "WASMRequestsRefused",
        "sum(rate(wasm_requests_refused_total{JOB}[10m]))"
        " / (sum(rate(wasm_execution_requests_total{JOB}[10m])) + sum(rate(wasm_requests_refused_total{JOB}[10m])))"
        " > 0.2",
        "15m",
        "warning",
        "More than a fifth of the requests to sandbox pods are answered with an error.",
    ),
    Alert(
        "WASMHardeningMissing",
        "max(wasm_hardening_measures_missing{JOB}) > 0",
        "15m",
        "critical",
        "A node cannot take a hardening measure of the sandbox.",
    ),
    _CERTIFICATE,
)

OPERATOR_ALERTS: Final = (
    Alert(
        "RLMOperatorDown",
        "(sum(up{JOB}) or vector(0)) == 0",
        "10m",
        "critical",
        "The operator does not answer: what runs goes on, but nothing is made, changed or repaired.",
    ),
    Alert(
        "RLMOperatorNoLeader",
        "sum(rlm_operator_leader{JOB}) != 1",
        "5m",
        "critical",
        "Not exactly one process of the operator holds its Lease.",
    ),
    Alert(
        "RLMOperatorReconcilesFail",
        'sum(rate(rlm_operator_reconciles_total{JOB,result="failed"}[15m]))'
        " / sum(rate(rlm_operator_reconciles_total{JOB}[15m])) > 0.1",
        "15m",
        "warning",
        "More than a tenth of the operator's passes fail.",
    ),
    Alert(
        "RLMOperatorQueueLong",
        "max(rlm_operator_queue_depth{JOB}) > 100",
        "15m",
        "warning",
        "More than a hundred resources wait for the operator.",
    ),
    Alert(
        "RLMOperatorMissesChanges",
        "sum(increase(rlm_operator_missed_changes_total{JOB}[1h])) > 10",
        "0m",
        "warning",
        "Lists keep finding changes of which the operator's watches did not tell.",
    ),
)


def alerts_of(component: str) -> tuple[Alert, ...]:
    """Those of a plane."""
    return {INFERENCE: INFERENCE_ALERTS, SANDBOX: SANDBOX_ALERTS}[component]


def expression_for(alert: Alert, job: str) -> str:
    """The alert's expression over one scrape job."""
    return fill_job(alert.expression, f'job="{job}"')


def fill_job(expression: str, matcher: str) -> str:
    """`matcher` is a label matcher, such as `job="team/demo-rlm"`."""
    return expression.replace("{JOB", "{" + matcher)
