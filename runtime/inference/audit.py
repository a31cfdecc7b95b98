"""The inference plane's audit events: requests, runs and files, with names, sizes and hashes and never a text.

The engine owns one `Audit`. Requests are put down by a middleware, runs by the runner, files by their store; all of
these call at any time, whether the log is on or not.
"""

from __future__ import annotations

import asyncio
import hashlib

from runtime.audit import AuditLog, Field, encode, sha256, size
from runtime.inference.budget import Budget
from runtime.inference.caller import Caller
from runtime.inference.events import RunCompleted
from runtime.inference.question import Context, DocumentsContext, JsonContext, Question, TextContext


class Audit:
    def __init__(self, log: AuditLog) -> None:
        self._log = log

    @property
    def is_on(self) -> bool:
        return self._log.is_on

    def request(self, key_name: str | None, method: str, endpoint: str, item: str | None, status: int | None) -> None:
        """Answered with `status`, None: its caller went away; `item` is the run, file or model that its path names."""
        self._log.write(
            "request",
            {"key_name": key_name, "method": method, "endpoint": endpoint, "item": item, "status": status},
        )

    async def run_started(self, caller: Caller, run_id: str, model: str, question: Question) -> None:
        """Before anything of it is done."""
        if not self.is_on:
            return
        context_hash, context_bytes = await asyncio.to_thread(_digest_context, question.context)
        fields: dict[str, Field] = {
            "endpoint": caller.endpoint,
            "model": model,
            "question_sha256": sha256(question.text),
            "question_bytes": size(question.text),
            "context_type": question.summary.type,
            "context_sha256": context_hash,
            "context_bytes": context_bytes,
            "history_turns": len(question.history),
        }
        self._log.write("run_started", {**_of(caller, run_id), **fields})

    def run_ended(
        self, caller: Caller, run_id: str, outcome: str, budget: Budget, completed: RunCompleted | None
    ) -> None:
        """`outcome`: ok, cancelled or an error's code."""
        if not self.is_on:
            return
        usage = budget.usage
        fields: dict[str, Field] = {
            "outcome": outcome,
            "iterations": budget.iterations,
            "sub_calls": budget.subcalls,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cost": usage.cost,
            "seconds": round(budget.elapsed, 3),
            "answer_sha256": None if completed is None else sha256(completed.answer),
            "answer_bytes": None if completed is None else size(completed.answer),
        }
        self._log.write("run_ended", {**_of(caller, run_id), **fields})

    def tool_call(self, run_id: str, tool: str, arguments: str, reply: bytes, error: str | None) -> None:
        """What went out to a host of the stack's allow-list, and what came back. `error` is from a closed list."""
        if not self.is_on:
            return
        fields: dict[str, Field] = {
            "run": run_id,
            "tool": tool,
            "arguments_sha256": sha256(arguments),
            "arguments_bytes": size(arguments),
            "reply_sha256": hashlib.sha256(reply).hexdigest(),
            "reply_bytes": len(reply),
            "is_error": error is not None,
        }
        self._log.write("tool_call", fields)

    def run_joined(self, key_name: str, run_id: str) -> None:
        """A repeated request gets the answer of the run that it repeats."""
        self._log.write("run_joined", {"key_name": key_name, "run": run_id})

    def file(self, what: str, key_name: str, file_id: str, **fields: Field) -> None:
        """`what`: uploaded, read or deleted. A question over a file reads it."""
        self._log.write(f"file_{what}", {"key_name": key_name, "file": file_id, **fields})


def _of(caller: Caller, run_id: str) -> dict[str, Field]:
    """The runs of a request may go on after it, so its id is said here."""
    return {"key_name": caller.key_name, "request_id": caller.request_id, "run": run_id}


def _digest_context(context: Context) -> tuple[str, int]:
    """SHA-256 and bytes of a text's UTF-8 or of a JSON text; of documents, of all paths and texts, each ended by a zero
    byte."""
    digest, length = hashlib.sha256(), 0
    for part in _parts_of(context):
        digest.update(part)
        length += len(part)
    return digest.hexdigest(), length


def _parts_of(context: Context) -> list[bytes]:
    match context:
        case TextContext(text):
            return [encode(text)]
        case JsonContext():
            return [context.encoded]
        case DocumentsContext(documents):
            return [encode(f"{each['path']}\0{each['text']}\0") for each in documents]
