"""The operator's Prometheus metrics, in a registry of their own."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_CHANGE_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Made once per process; every part that counts something gets it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "rlm_operator_reconciles",
            "Reconciles by their result: synced, refused (a child or Secret is in trouble) or failed.",
            ["kind", "result"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "rlm_operator_reconcile_seconds", "Duration of a reconcile.", ["kind"], registry=self.registry
        )
        self.change_applied_seconds = Histogram(
            "rlm_operator_change_applied_seconds",
            "Time from the news of a new or edited resource until it was applied.",
            ["kind"],
            buckets=_CHANGE_SECONDS,
            registry=self.registry,
        )
        self.writes = Counter(
            "rlm_operator_writes", "Objects written or deleted; `status` for status.", ["kind"], registry=self.registry
        )
        self.watch_events = Counter(
            "rlm_operator_watch_events", "Events received from watches.", ["kind"], registry=self.registry
        )
        self.missed_changes = Counter(
            "rlm_operator_missed_changes",
            "Changes that a list found before a watch told of them.",
            ["kind"],
            registry=self.registry,
        )
        self.leader = Gauge(
            "rlm_operator_leader",
            "1 while this operator holds the Lease and reconciles, else 0.",
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(
            "rlm_operator_certificate_expiration_timestamp_seconds",
            "When the first certificate between the planes ends, of all resources, as Unix time.",
            registry=self.registry,
        )
        self.queue_depth = Gauge("rlm_operator_queue_depth", "Resources waiting for a worker.", registry=self.registry)
        self.resources = Gauge("rlm_operator_resources", "Custom resources known.", registry=self.registry)
        self.children = Gauge("rlm_operator_children", "Children known, without Secrets.", registry=self.registry)
