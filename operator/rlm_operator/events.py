"""Kubernetes Events, for `kubectl describe`: one for each transition of a condition, and for each new leader."""

from __future__ import annotations

import datetime
import logging
import secrets
from collections.abc import Iterable
from typing import Final

from rlm_operator.api import KubernetesApi
from rlm_operator.conditions import Condition
from rlm_operator.errors import ApiError
from rlm_operator.names import API_VERSION, GROUP
from rlm_operator.resource import Identity, Manifest

_LONGEST_NOTE: Final = 1024

_log = logging.getLogger(__name__)


class EventRecorder:
    """`instance` names this process, as the pod's name does."""

    def __init__(self, api: KubernetesApi, instance: str) -> None:
        self._api = api
        self._instance = instance

    async def record(self, about: Identity, transitions: Iterable[Condition]) -> None:
        """An Event that can not be written is a log line: it must not stop a reconcile."""
        for condition in transitions:
            now = datetime.datetime.now(datetime.UTC)
            try:
                await self._api.create(build_event(about, condition, self._instance, now))
            except ApiError as error:
                _log.warning("event about %s %s not written: %s", about.kind, about.name, error)

    async def record_leader(self, lease: Manifest) -> None:
        """This operator leads from now on, by this Lease."""
        now = datetime.datetime.now(datetime.UTC)
        try:
            await self._api.create(build_leader_event(lease, self._instance, now))
        except ApiError as error:
            _log.warning("event about the new leader not written: %s", error)


def build_event(about: Identity, condition: Condition, instance: str, now: datetime.datetime) -> Manifest:
    """Warning for what is bad, Normal for what is good again. `now` is aware."""
    regarding = {
        "apiVersion": API_VERSION,
        "kind": str(about.kind),
        "namespace": about.namespace,
        "name": about.name,
        "uid": about.uid,
    }
    return {
        **_build_frame(regarding, instance, now),
        "action": "Reconcile",
        "type": "Normal" if condition.is_good else "Warning",
        "reason": str(condition.reason),
        "note": f"{condition.type}: {condition.message}"[:_LONGEST_NOTE],
    }


def build_leader_event(lease: Manifest, instance: str, now: datetime.datetime) -> Manifest:
    """`lease` is as the API server gave it back. `now` is aware."""
    metadata = lease["metadata"]
    regarding = {key: metadata[key] for key in ("namespace", "name", "uid")}
    return {
        **_build_frame({"apiVersion": lease["apiVersion"], "kind": lease["kind"], **regarding}, instance, now),
        "action": "LeaderElection",
        "type": "Normal",
        "reason": "LeaderElection",
        "note": f"{lease['spec']['holderIdentity']} became leader",
    }


def _build_frame(regarding: Manifest, instance: str, now: datetime.datetime) -> Manifest:
    """What all Events have."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "namespace": regarding["namespace"],
            "name": f"{regarding['name']}.{secrets.token_hex(8)}",
        },
        "eventTime": now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance[:128],
        "regarding": regarding,
    }
