"""For every alert, series on which it fires and series on which it rests, in promtool's notation, a sample a minute.

`test_alerts.py` has promtool play them to the rendered rules. Where an alert compares with a number, the two lie close
to it on both sides, so that another number is noticed. Values: `3x60` is 3 for an hour, `0+8x60` begins at 0 and grows
by 8 each minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Series = Mapping[str, str]
"""Metric with its labels but `job`, to its values."""


@dataclass(frozen=True)
class Pair:
    """`labels`: those that the expression keeps, besides the rule's own."""

    fires: Series
    rests: Series
    labels: Mapping[str, str] = field(default_factory=dict)


def _runs(ok: int, **failed: int) -> Series:
    counts = {"ok": ok, **failed}
    return {f'rlm_inference_requests_total{{status="{status}"}}': f"0+{each}x60" for status, each in counts.items()}


def _calls(ok: int, failed: int) -> Series:
    counts = {"ok": ok, "failed": failed}
    return {
        f'rlm_llm_calls_total{{model="m",role="sub",status="{status}"}}': f"0+{each}x60"
        for status, each in counts.items()
    }


def _cells(ok: int, **further: str) -> Series:
    return {'wasm_execution_requests_total{status="ok"}': f"0+{ok}x60", **further}


_CERTIFICATE: Final = Pair(  # an alert within four hours of the end; evaluated after 40 minutes
    {'tls_certificate_expiration_timestamp_seconds{role="server"}': "16000x60"},
    {'tls_certificate_expiration_timestamp_seconds{role="server"}': "17000x60"},
)

STACK_SERIES: Final[Mapping[str, Pair]] = {
    "RLMInferenceDown": Pair({}, {'up{pod="a"}': "1x60", 'up{pod="b"}': "0x60"}),
    "RLMRunsFail": Pair(_runs(88, model_error=6, timeout=6), _runs(82, model_error=9, cancelled=9)),
    "RLMModelCallsFail": Pair(_calls(88, 12), _calls(92, 8), labels={"model": "m"}),
    "RLMModelCallsWait": Pair(
        {"rlm_llm_queue_length": "21x60", "rlm_llm_calls_in_flight": "10x60"},
        {"rlm_llm_queue_length": "19x60", "rlm_llm_calls_in_flight": "10x60"},
    ),
    "RLMRunsWaitForSandbox": Pair(
        {'rlm_sandbox_demand{state="waiting"}': "1x60"},
        {'rlm_sandbox_demand{state="waiting"}': "0x60", 'rlm_sandbox_demand{state="open"}': "9x60"},
    ),
    "RLMSandboxServersFail": Pair(
        {'rlm_sandbox_servers{state="open"}': "1x60"},
        {'rlm_sandbox_servers{state="open"}': "0x60", 'rlm_sandbox_servers{state="closed"}': "3x60"},
    ),
    "RLMSessionsLost": Pair(
        {'rlm_session_recoveries_total{outcome="failed"}': "0x20 1x40"},
        {
            'rlm_session_recoveries_total{outcome="failed"}': "1x60",
            'rlm_session_recoveries_total{outcome="recovered"}': "0+1x60",
        },
    ),
    "RLMRequestsRefused": Pair(
        {'rlm_refused_requests_total{code="rate_limit_exceeded"}': "0+7x60"},
        {
            'rlm_refused_requests_total{code="busy"}': "0+5x60",
            'rlm_refused_requests_total{code="invalid_api_key"}': "0+60x60",
        },
    ),
    "RLMCertificateExpires": _CERTIFICATE,
}

POOL_SERIES: Final[Mapping[str, Pair]] = {
    "WASMPoolDown": Pair({'up{pod="a"}': "0x60"}, {'up{pod="a"}': "0x60", 'up{pod="b"}': "1x60"}),
    "WASMQueueLong": Pair(
        {'wasm_execution_queue_length{pod="a"}': "19x60", 'wasm_execution_queue_length{pod="b"}': "3x60"},
        {'wasm_execution_queue_length{pod="a"}': "17x60", 'wasm_execution_queue_length{pod="b"}': "2x60"},
    ),
    "WASMCellsTimeOut": Pair(
        _cells(
            78, wasm_execution_timeout_total="0+22x60", **{'wasm_execution_requests_total{status="error"}': "0+22x60"}
        ),
        _cells(
            82, wasm_execution_timeout_total="0+18x60", **{'wasm_execution_requests_total{status="error"}': "0+18x60"}
        ),
    ),
    "WASMPodMemoryShort": Pair(
        {'wasm_pod_memory_used_bytes{pod="a"}': "96x60", 'wasm_pod_memory_limit_bytes{pod="a"}': "100x60"},
        {
            'wasm_pod_memory_used_bytes{pod="a"}': "94x60",
            'wasm_pod_memory_limit_bytes{pod="a"}': "100x60",
            'wasm_pod_memory_used_bytes{pod="unlimited"}': "94x60",
            'wasm_pod_memory_limit_bytes{pod="unlimited"}': "0x60",
        },
    ),
    "WASMMemoryKills": Pair({"wasm_memory_kills_total": "0x20 4x40"}, {"wasm_memory_kills_total": "0x20 2x40"}),
    "WASMRequestsRefused": Pair(
        _cells(78, **{'wasm_requests_refused_total{code="busy"}': "0+22x60"}),
        _cells(82, **{'wasm_requests_refused_total{code="busy"}': "0+18x60"}),
    ),
    "WASMHardeningMissing": Pair(
        {'wasm_hardening_measures_missing{pod="a"}': "0x60", 'wasm_hardening_measures_missing{pod="b"}': "1x60"},
        {'wasm_hardening_measures_missing{pod="a"}': "0x60"},
    ),
    "RLMCertificateExpires": _CERTIFICATE,
}

OPERATOR_SERIES: Final[Mapping[str, Pair]] = {
    "RLMOperatorDown": Pair({}, {'up{pod="a"}': "1x60", 'up{pod="b"}': "0x60"}),
    "RLMOperatorNoLeader": Pair(
        {'rlm_operator_leader{pod="a"}': "0x60", 'rlm_operator_leader{pod="b"}': "0x60"},
        {'rlm_operator_leader{pod="a"}': "1x60", 'rlm_operator_leader{pod="b"}': "0x60"},
    ),
    "RLMOperatorReconcilesFail": Pair(
        {
            'rlm_operator_reconciles_total{result="synced"}': "0+88x60",
            'rlm_operator_reconciles_total{result="failed"}': "0+12x60",
        },
        {
            'rlm_operator_reconciles_total{result="synced"}': "0+92x60",
            'rlm_operator_reconciles_total{result="failed"}': "0+8x60",
        },
    ),
    "RLMOperatorQueueLong": Pair({"rlm_operator_queue_depth": "101x60"}, {"rlm_operator_queue_depth": "100x60"}),
    "RLMOperatorMissesChanges": Pair(
        {"rlm_operator_missed_changes_total": "0x10 12x50"}, {"rlm_operator_missed_changes_total": "0x10 9x50"}
    ),
}


def with_job(series: Series, job: str) -> list[dict[str, Any]]:
    """As promtool takes them."""
    return [{"series": _add_job(metric, job), "values": values} for metric, values in series.items()]


def _add_job(metric: str, job: str) -> str:
    name, _, labels = metric.rstrip("}").partition("{")
    return f'{name}{{job="{job}"{"," if labels else ""}{labels}}}'
