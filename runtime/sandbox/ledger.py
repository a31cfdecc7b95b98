"""What happened to sessions and cells, put down once: in the metrics, in the log and, if it is on, in the audit log.

Told by `cells`, `registry` and `service`. A session's id opens the session, so logs have a hash of it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from runtime.audit import AuditLog, Field, sha256, size
from runtime.sandbox.errors import RequestError
from runtime.sandbox.host_answer import HostAnswer
from runtime.sandbox.metrics import SandboxMetrics
from runtime.sandbox.session import Session
from runtime.sandbox.usage import Usage
from runtime.wire import CellReply, HostCall, Status

log = logging.getLogger(__name__)


@dataclass
class Moved:
    """Of a variable, filled in by whoever moves it."""

    bytes: int = 0
    cpu_seconds: float = 0.0


class Ledger:
    def __init__(self, metrics: SandboxMetrics, audit: AuditLog) -> None:
        self.metrics = metrics
        self._audit = audit

    def session_created(self, session: Session, source: Session | None = None) -> None:
        """`source`: of which it is a branch."""
        if not self._audit.is_on:
            return
        options = session.options
        fields: dict[str, Field] = {
            "one_shot": session.one_shot,
            "sealed": options.sealed,
            "checkpoint": options.checkpoint.value,
            "host_functions": list(options.host_functions),
            "memory_limit": options.memory_bytes,
            "branch_of": None if source is None else session_hash(source.id),
        }
        self._audit.write("session_created", {**_of(session), **fields})

    def session_ended(self, session: Session, reason: str) -> None:
        """`reason`: deleted (also a one-shot that is done), lost, stopped with the server, or why it expired."""
        if self._audit.is_on:
            age = time.monotonic() - session.created_at
            fields: dict[str, Field] = {"reason": reason, "cells": session.cell, "seconds": round(age, 3)}
            self._audit.write("session_ended", {**_of(session), **fields})

    def cell(self, session: Session, reply: CellReply, code: str | None) -> None:
        """A cell ended or was suspended. `code` None: it went on after a host call."""
        if log.isEnabledFor(logging.INFO):
            log.info("cell", extra={**_of(session), **_measures(reply)})
        self._count(reply.status, Usage(reply.execution_time, reply.cpu_time), rolled_back=reply.rolled_back)
        if self._audit.is_on:
            self._audit.write("cell", {**_of(session), **_code(code), **_measures(reply), **_sizes(reply)})
            if reply.call is not None:
                self._audit.write("host_call", {**_of(session), "cell": reply.cell, **_call(reply.call)})

    def cache_hit(self, owner: str, codes: Sequence[str]) -> None:
        """A request was answered without running it."""
        log.info("cached reply", extra={"caller": owner})
        self.metrics.cache_hits.inc()
        if self._audit.is_on:
            self._audit.write("cache_hit", {"caller": owner, "code_sha256": [sha256(code) for code in codes]})

    def abandoned(self, session: Session, used: Usage) -> None:
        """A cell was ended whose reply nobody waits for: its client went away, or nobody answered its host call."""
        status = Status.INTERRUPTED
        fields: dict[str, Field] = {
            "cell": session.cell,
            "status": status.value,
            "seconds": round(used.ran, 4),
            "cpu_seconds": round(used.cpu, 4),
            "memory_bytes": used.memory_bytes,
            "abandoned": True,
        }
        log.info("cell", extra={**_of(session), **fields})
        self._count(status, used, rolled_back=not session.lost)
        self._audit.write("cell", {**_of(session), **fields})

    def host_answer(self, session: Session, answer: HostAnswer) -> None:
        """What a caller sent in for a host call."""
        if self._audit.is_on:
            text = answer.text()
            fields: dict[str, Field] = {
                "cell": session.cell,
                "is_error": answer.is_error,
                "bytes": size(text),
                "sha256": sha256(text),
            }
            self._audit.write("host_answer", {**_of(session), **fields})

    @contextmanager
    def variable(self, event: str, session: Session, name: str) -> Iterator[Moved]:
        """`event`: variable_set or variable_read."""
        moved, started, status = Moved(), time.perf_counter(), "interrupted"
        try:
            yield moved
            status = "ok"
        except RequestError as error:
            status = error.code.value
            raise
        finally:
            seconds = round(time.perf_counter() - started, 4)
            self.metrics.cpu.inc(moved.cpu_seconds)
            fields: dict[str, Field] = {
                "variable": name,
                "status": status,
                "seconds": seconds,
                "cpu_seconds": round(moved.cpu_seconds, 4),
                "bytes": moved.bytes,
            }
            self._audit.write(event, {**_of(session), **fields})

    @contextmanager
    def work(self, session: Session, moved: Moved) -> Iterator[None]:
        """The session does it meanwhile: what CPU that takes, however it ends."""
        try:
            yield
        finally:
            moved.cpu_seconds = session.process.meter.used().cpu

    def _count(self, status: Status, used: Usage, *, rolled_back: bool) -> None:
        metrics = self.metrics
        metrics.executions.labels(status.value).inc()
        if status is Status.SUSPENDED:
            metrics.host_calls.inc()
            return
        metrics.duration.observe(used.ran)
        metrics.cpu.inc(used.cpu)
        if status is not Status.OK:
            metrics.errors.labels(status.value).inc()
        if status is Status.TIMEOUT:
            metrics.timeouts.inc()
        if rolled_back:
            metrics.rollbacks.inc()


def session_hash(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()[:16]


def _of(session: Session) -> dict[str, Field]:
    return {"caller": session.owner, "session": session_hash(session.id)}


def _measures(reply: CellReply) -> dict[str, Field]:
    return {
        "cell": reply.cell,
        "status": reply.status.value,
        "seconds": round(reply.execution_time, 4),
        "cpu_seconds": round(reply.cpu_time, 4),
        "queued_seconds": round(reply.timing.queued, 4),
        "memory_bytes": reply.memory_bytes,
        "rolled_back_to": reply.rolled_back_to,
        "session_lost": reply.session_lost,
    }


def _code(code: str | None) -> dict[str, Field]:
    if code is None:
        return {"code_sha256": None, "code_bytes": None}
    return {"code_sha256": sha256(code), "code_bytes": size(code)}


def _sizes(reply: CellReply) -> dict[str, Field]:
    """In bytes, of what the reply carries."""
    return {
        "stdout_bytes": size(reply.stdout),
        "stderr_bytes": size(reply.stderr),
        "result_bytes": size(reply.result or ""),
        "events": len(reply.events),
        "event_bytes": sum(size(event.payload) for event in reply.events),
        "locals": len(reply.locals),
    }


def _call(call: HostCall) -> dict[str, Field]:
    return {"function": call.name, "bytes": size(call.payload), "sha256": sha256(call.payload)}
