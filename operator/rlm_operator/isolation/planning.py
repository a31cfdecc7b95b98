"""When a pool's network is probed: after each change of its policy, each period, and again soon when a probe failed.

Pure: the state between passes is in the pool's status, so a restarted operator goes on where it was.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.digest import digest
from rlm_operator.resource import Manifest, Pool

_FAILED_AGAIN: Final = datetime.timedelta(minutes=10)
_KIND: Final = ConditionType.ISOLATION_VERIFIED


@dataclass(frozen=True)
class ProbeState:
    """The last verdict: `policy` is the digest of what was probed, `checked_at` RFC 3339."""

    policy: str
    checked_at: str
    reason: Reason
    message: str

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> ProbeState | None:
        """From a pool's status; None before the first verdict."""
        found = status.get("isolation")
        if not found or found["reason"] not in list(Reason):
            return None
        return cls(found["policy"], found["checkedAt"], Reason(found["reason"]), found["message"])

    def to_status(self) -> Manifest:
        return {
            "policy": self.policy,
            "checkedAt": self.checked_at,
            "reason": str(self.reason),
            "message": self.message[:2048],
        }


def policy_digest(children: list[Manifest]) -> str:
    """Changes with the pool's NetworkPolicy and with its image."""
    policies = [child["spec"] for child in children if child["kind"] == "NetworkPolicy"]
    images = [
        child["spec"]["template"]["spec"]["containers"][0]["image"]
        for child in children
        if child["kind"] == "Deployment"
    ]
    return digest([policies, images])


def due_run(pool: Pool, state: ProbeState | None, policy: str, now: datetime.datetime) -> str | None:
    """Name of the run that should go on now; the same one until its verdict is in the status."""
    if not pool.spec.isolation_probe.enabled:
        return None
    if state is not None and state.policy == policy and now < _next(pool, state):
        return None
    return digest([policy, state.checked_at if state else ""])[:8]


def isolation_condition(pool: Pool, state: ProbeState | None) -> Condition | None:
    """None when the probe is off. The last verdict stands until there is another."""
    if not pool.spec.isolation_probe.enabled:
        return None
    if state is None:
        words = "Not known yet: the network is probed once a sandbox pod is available, which takes up to three minutes."
        return Condition(_KIND, False, Reason.ISOLATION_PENDING, words)
    is_verified = state.reason is Reason.ISOLATION_VERIFIED
    return Condition(_KIND, is_verified, state.reason, f"{state.message} Tried at {state.checked_at}.")


def _next(pool: Pool, state: ProbeState) -> datetime.datetime:
    period = datetime.timedelta(seconds=float(pool.spec.isolation_probe.period.seconds))
    if state.reason is Reason.ISOLATION_PROBE_FAILED:
        period = min(period, _FAILED_AGAIN)
    return datetime.datetime.fromisoformat(state.checked_at) + period
