"""Settings of the inference plane by key: what a stack's ConfigMap holds (design records 0001 and 0023).

`config_map.py` turns them into an object and variables. A key that is absent leaves the process its default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from rlm_operator.objects.config_map import logging_settings, present, text_of
from rlm_operator.spec.budgets import Budgets
from rlm_operator.spec.keys import KeyException, KeyLimits
from rlm_operator.spec.model import Endpoint
from rlm_operator.spec.stack import RLMStackSpec
from rlm_operator.spec.storage import Storage

DATA_DIR: Final = "/var/lib/rlm"
"""Where a claim is mounted."""


def inference_settings(spec: RLMStackSpec) -> dict[str, str]:
    sub = spec.sub_model
    settings: dict[str, str | None] = {
        **logging_settings(spec.logging),
        "auth-mode": spec.inference.auth.mode,
        "model-name": spec.model.name,
        "model-base-url": spec.model.base_url,
        **_endpoint("model", spec.model),
        "sub-model-name": sub.name if sub else None,
        "sub-model-base-url": sub.base_url if sub else None,
        **(_endpoint("sub-model", sub) if sub else {}),
        "served-model-name": spec.inference.served_model_name,
        **_budgets(spec.rlm),
        "prices": _json({name: price.model_dump() for name, price in spec.prices.items()}),
        "max-body-bytes": spec.inference.max_body_bytes.bytes_text,
        **_keys(spec.inference.key_limits),
        "admin-keys": ",".join(spec.inference.admin_keys),
        **_storage(spec.storage),
        "otlp-endpoint": spec.tracing.otlp_endpoint,
        "trace-content": _flag(spec.tracing.content),
    }
    return present(settings)


def _endpoint(prefix: str, endpoint: Endpoint) -> dict[str, str | None]:
    """What is absent stays absent: a sub-model then has the root model's. What is empty is said."""
    return {
        f"{prefix}-extra-headers": _given(endpoint.extra_headers),
        f"{prefix}-extra-query": _given(endpoint.extra_query),
        f"{prefix}-extra-body": _given(endpoint.extra_body),
        f"{prefix}-proxy": endpoint.proxy,
        f"{prefix}-context-window": text_of(endpoint.context_window),
    }


def _budgets(rlm: Budgets) -> dict[str, str | None]:
    return {
        "max-iterations": str(rlm.max_iterations),
        "max-depth": str(rlm.max_depth),
        "max-child-runs": str(rlm.max_child_runs),
        "max-subcalls": str(rlm.max_subcalls),
        "max-tokens": text_of(rlm.max_tokens),
        "max-cost": None if rlm.max_cost_usd is None else _decimal(rlm.max_cost_usd),
        "timeout-seconds": rlm.timeout.seconds_text,
        "max-concurrency": str(rlm.max_concurrency),
        "max-consecutive-errors": str(rlm.max_consecutive_errors),
        "allowed-models": ",".join(rlm.allowed_models),
        "reuse-answers": _flag(rlm.reuse_answers),
        "direct-below-tokens": str(rlm.direct_below_tokens),
        "compact-above-tokens": text_of(rlm.compact_above_tokens),
        "sandbox-start-timeout-seconds": rlm.sandbox_start_timeout.seconds_text,
        "recovery-seconds": rlm.recovery_timeout.seconds_text,
    }


def _keys(limits: KeyLimits) -> dict[str, str | None]:
    return {
        "key-requests-per-minute": text_of(limits.requests_per_minute),
        "key-concurrent-runs": text_of(limits.concurrent_runs),
        "key-file-bytes": limits.file_bytes.bytes_text if limits.file_bytes else None,
        "key-limits": _json({name: _exception(limit) for name, limit in limits.exceptions.items()}),
    }


def _exception(limit: KeyException) -> dict[str, int | None]:
    """0 lifts a limit, which is null in the process's table."""
    numbers = {
        "requests_per_minute": limit.requests_per_minute,
        "concurrent_runs": limit.concurrent_runs,
        "file_bytes": None if limit.file_bytes is None else int(limit.file_bytes.value),
    }
    return {name: number or None for name, number in numbers.items() if number is not None}


def _storage(storage: Storage) -> dict[str, str | None]:
    store = storage.object_store
    return {
        "storage-url": f"file://{DATA_DIR}" if storage.persistent_volume_claim else store.url if store else None,
        "storage-endpoint": store.endpoint if store else None,
        "storage-max-bytes": storage.max_file_bytes.bytes_text,
        "storage-run-bytes": storage.max_run_bytes.bytes_text,
        "storage-retention-seconds": storage.retention.seconds_text,
        "store-runs": _flag(storage.store_runs),
    }


def _given(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _json(value: Mapping[str, Any]) -> str | None:
    return _given(value or None)


def _flag(value: bool) -> str:
    return str(value).lower()


def _decimal(value: float) -> str:
    """Without an exponent."""
    return f"{Decimal(str(value)).normalize():f}"
