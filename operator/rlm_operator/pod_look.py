"""Looks at the pods of a Deployment whose rollout takes longer than it should, and finds out why.

Called by `reconcile.py` on each pass. Pods are never watched: a look is one list of at most a hundred pods by label,
and there is none while a rollout is fresh or once it is complete. What the pods say changes without a sign of their
Deployment, so `seconds_to_next` asks for another pass, later and later.
"""

from __future__ import annotations

import datetime
from typing import Final

from rlm_operator.api import KubernetesApi
from rlm_operator.errors import RefusedError
from rlm_operator.objects.owner import Plane
from rlm_operator.pod_trouble import PodTrouble, find_trouble
from rlm_operator.rollout import Rollout

_PATIENCE_SECONDS: Final = 5.0
"""A rollout that made progress this recently is given time."""
_MOST_PODS: Final = 100
_SLOWEST_SECONDS: Final = 60.0


class PodLook:
    """Reads pods through `api`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def find_trouble(self, plane: Plane, rollout: Rollout, now: datetime.datetime) -> PodTrouble | None:
        """None when all is well, or nothing can be said yet. Raises UnavailableError."""
        if rollout.is_complete or not is_due(rollout, now):
            return None
        labels = ",".join(f"{key}={value}" for key, value in plane.selector.items())
        try:
            pods = await self._api.fetch_some("Pod", plane.namespace, labels, _MOST_PODS)
        except RefusedError:
            return None  # An older role without this right: conditions then have the Deployment's words only.
        return find_trouble(pods)


def is_due(rollout: Rollout, now: datetime.datetime) -> bool:
    """Whether the rollout stands still, by its own words or by the clock."""
    if rollout.stuck or rollout.failure:
        return True
    return rollout.progressed is not None and _age(rollout.progressed, now) >= _PATIENCE_SECONDS


def seconds_to_next(rollout: Rollout, now: datetime.datetime) -> float:
    """Until the pods should be looked at again: soon while a rollout is young, then after as long as it lasted."""
    if rollout.is_complete:
        return _SLOWEST_SECONDS
    age = _PATIENCE_SECONDS if rollout.progressed is None else _age(rollout.progressed, now)
    return min(max(age, _PATIENCE_SECONDS), _SLOWEST_SECONDS)


def _age(since: datetime.datetime, now: datetime.datetime) -> float:
    return (now - since).total_seconds()
