"""Who asked the API server for what: reads its audit log.

`audit-policy.yaml` decides what is written: every request, without bodies, except reads by the control plane itself.
Tests count an operator's writes with it and compare what it used with what RBAC grants it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

POLICY: Final = Path(__file__).parent / "audit-policy.yaml"
_CHUNK: Final = 65536
WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Request:
    """One request as the API server saw it."""

    user: str
    verb: str  # Kubernetes' verb: get, list, watch, create …
    group: str  # "" is the core group
    resource: str  # with its subresource: `deployments`, `rlmstacks/status`; "" for a path such as /version
    namespace: str
    name: str
    path: str
    code: int
    is_forbidden: bool  # refused by authorization, not by admission
    answered: float  # seconds since the epoch

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES


class AuditLog:
    """The requests so far; a `mark` says from where on to count."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """The end of the last whole line as of now, for `requests(since=…)`."""
        if not self._path.exists():
            return 0
        with self._path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            while end > 0:
                begin = max(0, end - _CHUNK)
                log.seek(begin)
                newline = log.read(end - begin).rfind(b"\n")
                if newline >= 0:
                    return begin + newline + 1
                end = begin
        return 0

    def requests(self, *, user: str | None = None, since: int = 0, until: int | None = None) -> list[Request]:
        """Every request (of `user`) that was answered, or for a watch opened, after `since` and before `until`."""
        return [request for request in self._read(since, until) if user is None or request.user == user]

    def writes(self, *, user: str | None = None, since: int = 0) -> list[Request]:
        return [request for request in self.requests(user=user, since=since) if request.is_write]

    def _read(self, since: int, until: int | None) -> Iterator[Request]:
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(since)
            for line in log:
                since += len(line)
                if not line.endswith(b"\n") or (until is not None and since > until):
                    return  # the API server is in the middle of it
                event = json.loads(line)
                if _is_final(event):
                    yield _parse(event)


def _is_final(event: dict[str, Any]) -> bool:
    """One event per request: when it was answered, or for a watch, which stays open, when its answer began."""
    wanted = (
        "ResponseStarted" if event["verb"] == "watch" and event["responseStatus"]["code"] == 200 else "ResponseComplete"
    )
    return bool(event["stage"] == wanted)


def _parse(event: dict[str, Any]) -> Request:
    target = event.get("objectRef", {})
    parts = (target.get("resource", ""), target.get("subresource", ""))
    return Request(
        user=event["user"]["username"],
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource="/".join(part for part in parts if part),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        path=event["requestURI"],
        code=event["responseStatus"]["code"],
        is_forbidden=event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
        answered=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
    )
