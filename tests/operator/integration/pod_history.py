"""What became of a namespace's pods, event by event, as a watch of the API server tells it.

Asking again and again would miss what is short; a watch misses nothing. `test_pods` counts with it how many pods were
available at each moment of a rollout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.process import Process
from tests.operator.integration.tenant import Tenant

Event = tuple[str, Object]
"""`ADDED`, `MODIFIED` or `DELETED`, and the pod."""


class PodHistory:
    """A context manager: what happens inside its block can be asked for after it. `log` is a file of its own."""

    def __init__(self, tenant: Tenant, log: Path) -> None:
        self._tenant = tenant
        self._log: Final = log
        self._events: list[Event] = []
        self._at_start: set[str] = set()

    def __enter__(self) -> Self:
        self._at_start = self._living()
        self._watch: Process = self._tenant.kubectl.watch("pods", self._tenant.namespace, self._log)
        eventually(lambda: self._at_start <= {_uid(pod) for _, pod in self._told()}, "word of the pods that are there")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                eventually(self._has_caught_up, "word of the last change")
            self._events = list(self._told())
        finally:
            self._watch.stop()

    def pods(self, deployment: str) -> set[str]:
        """The uid of every pod that `deployment` had."""
        return {_uid(pod) for _, pod in self._events if _is_of(pod, deployment)}

    def fewest_available(self, deployment: str) -> int:
        """The lowest number of pods that were ready and not being deleted, at any moment."""
        told: set[str] = set()
        available: set[str] = set()
        counts = []
        for kind, pod in self._events:
            told.add(_uid(pod))
            if _is_of(pod, deployment):
                available.discard(_uid(pod))
                if kind != "DELETED" and _is_available(pod):
                    available.add(_uid(pod))
            if told >= self._at_start:
                counts.append(len(available))
        return min(counts)

    def _told(self) -> Iterator[Event]:
        """As far as the watch's file holds whole events."""
        decoder, text = json.JSONDecoder(), self._log.read_text()
        while text := text.lstrip():
            try:
                event, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                return
            yield event["type"], event["object"]
            text = text[end:]

    def _has_caught_up(self) -> bool:
        alive: dict[str, bool] = {_uid(pod): kind != "DELETED" for kind, pod in self._told()}
        return {uid for uid, lives in alive.items() if lives} == self._living()

    def _living(self) -> set[str]:
        return {_uid(pod) for pod in self._tenant.kubectl.list("pods", self._tenant.namespace)}


def _uid(pod: Object) -> str:
    uid: str = pod["metadata"]["uid"]
    return uid


def _is_of(pod: Object, deployment: str) -> bool:
    name: str = pod["metadata"]["name"]
    return name.startswith(f"{deployment}-")


def _is_available(pod: Object) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
