"""Workers: take keys off the queue and reconcile them, one at a time each."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from rlm_operator.errors import ApiError, OperatorError
from rlm_operator.kinds import Ref
from rlm_operator.logs import logged_for
from rlm_operator.metrics import Metrics
from rlm_operator.reconcile import Reconciler
from rlm_operator.tracing import Tracing, end_pass
from rlm_operator.workqueue import WorkQueue

_LONGEST_RECONCILE_SECONDS: Final = 120

_log = logging.getLogger(__name__)


async def work(queue: WorkQueue, reconciler: Reconciler, metrics: Metrics, tracing: Tracing) -> None:
    """Run until the queue is closed."""
    while (key := await queue.get()) is not None:
        try:
            with (
                logged_for(key) as fields,
                tracing.reconcile(key.kind, fields) as span,
                metrics.reconcile_seconds.labels(key.kind).time(),
            ):
                result = await _reconcile(key, queue, reconciler)
                end_pass(span, result)
            metrics.reconciles.labels(key.kind, result).inc()
            if result == "synced" and (seconds := queue.seconds_since_news(key)) is not None:
                metrics.change_applied_seconds.labels(key.kind).observe(seconds)
        finally:
            queue.done(key)


async def _reconcile(key: Ref, queue: WorkQueue, reconciler: Reconciler) -> str:
    """Reconcile once and plan the next time; returns the result's name for the metrics."""
    try:
        async with asyncio.timeout(_LONGEST_RECONCILE_SECONDS):
            outcome = await reconciler.reconcile(key)
    except (OperatorError, TimeoutError) as error:
        delay = queue.retry(key, error.retry_after if isinstance(error, ApiError) else 0)
        _log.warning("%s in %s: %s; next try in %.1f s", key, key.namespace, error or "took too long", delay)
        return "failed"
    except Exception:  # noqa: BLE001 - a defect that one resource uncovers must not stop the others
        delay = queue.retry(key)
        _log.exception("%s in %s failed; next try in %.1f s", key, key.namespace, delay)
        return "failed"
    if outcome.again is not None:
        queue.add_after(key, outcome.again)
    if outcome.refused:
        queue.retry(key)
        return "refused"
    queue.forget_failures(key)
    return "synced"
