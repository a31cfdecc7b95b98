"""A run's session in the sandbox: created with the prelude and the context, its cells run, its variables read.

Made by `runner.py` for one run and ended with it. Sessions checkpoint when idle, and are never silently replaced by an
empty one: a session that is lost ends the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Final

from pydantic_core import to_json

from runtime.inference.errors import (
    ContextTooLargeError,
    SandboxRefusedError,
    SandboxUnavailableError,
    SessionLostError,
)
from runtime.inference.question import Context, Document, DocumentsContext, JsonContext, Question, TextContext
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.sandbox_watch import SandboxWatch
from runtime.wire import (
    CellReply,
    CheckpointPolicy,
    ErrorCode,
    ExecuteRequest,
    ForkRequest,
    HostCall,
    LocalsMode,
    ResumeRequest,
    SessionRequest,
    Status,
)

FINAL_EVENT: Final = "rlm.final"
PARTIAL_EVENT: Final = "rlm.answer"
LLM_QUERY: Final = "llm_query"
RLM_QUERY: Final = "rlm_query"
HOST_FUNCTIONS: Final = (LLM_QUERY, RLM_QUERY)
_FINAL_VARIABLE: Final = "__rlm_final__"
_PIECE_CHARACTERS: Final = 16 * 1024 * 1024  # of one request, so that neither end holds a large context twice
_CELL_TIMEOUT: Final = 30.0
_DELETE_TIMEOUT: Final = 5.0
_TOO_MUCH: Final = frozenset({ErrorCode.TOO_LARGE, ErrorCode.LIMIT_EXCEEDED, ErrorCode.INVALID_VALUE})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sandbox:
    """The pool as a process sees it."""

    client: SandboxClient
    watch: SandboxWatch


@asynccontextmanager
async def open_session(sandbox: Sandbox, question: Question) -> AsyncIterator[ReplSession]:
    """A session that has the question's context and history; deleted at the end, also when the run is cancelled.

    Raises SandboxUnavailableError when there is none to be had, ContextTooLargeError when the context does not fit.
    """
    session_id = secrets.token_hex(16)
    session = ReplSession(sandbox, session_id)
    try:
        await sandbox.client.create_session(
            SessionRequest(
                session_id=session_id,
                prelude=read_prelude(),
                host_functions=list(HOST_FUNCTIONS),
                checkpoint=CheckpointPolicy.IDLE,
            )
        )
        await session.load(question)
        yield session
    finally:
        await asyncio.shield(asyncio.create_task(_delete(sandbox.client, session_id)))


@asynccontextmanager
async def fork_session(parent: ReplSession, slot: int) -> AsyncIterator[ReplSession]:
    """A copy of a session that waits in `rlm_query`, for the child run in this slot: all its variables, and
    the prompt as `context`. Raises SandboxUnavailableError when there is none to be had."""
    session_id = secrets.token_hex(16)
    try:
        yield await parent.branch(session_id, slot)
    finally:
        await asyncio.shield(asyncio.create_task(_delete(parent.client, session_id)))


async def _delete(client: SandboxClient, session_id: str) -> None:
    """What cannot be deleted ends by the pool's idle timeout."""
    with contextlib.suppress(TimeoutError, SandboxUnavailableError):
        async with asyncio.timeout(_DELETE_TIMEOUT):
            await client.delete(session_id)


def read_prelude() -> str:
    """The guest code of `prelude.py`, as text."""
    return resources.files("runtime.inference").joinpath("prelude.py").read_text(encoding="utf-8")


class ReplSession:
    def __init__(self, sandbox: Sandbox, session_id: str) -> None:
        self._sandbox = sandbox
        self.client = sandbox.client
        self.id = session_id
        self._branching = asyncio.Lock()  # a session takes one request at a time

    async def load(self, question: Question) -> None:
        try:
            pieces = await self._put_context(question.context)
            await self.client.put_json(self.id, "history", await asyncio.to_thread(to_json, question.history))
        except SandboxRefusedError as error:
            if error.refusal in _TOO_MUCH:
                raise ContextTooLargeError(_too_large(question, str(error))) from error
            raise
        as_json = question.answer_format is not None
        begun = await self.execute(f"__rlm_begin__({pieces}, {as_json})")
        if begun.status is not Status.OK:
            problem = begun.error.type if begun.error else begun.status.value
            raise ContextTooLargeError(_too_large(question, problem))

    async def _put_context(self, context: Context) -> int:
        """How many pieces were sent; 0 when the variable was set at once."""
        match context:
            case JsonContext(encoded, _):
                await self.client.put_json(self.id, "context", encoded)
                return 0
            case TextContext(text) if len(text) <= _PIECE_CHARACTERS:
                await self.client.put_text(self.id, "context", text)
                return 0
            case TextContext(text):
                starts = range(0, len(text), _PIECE_CHARACTERS)
                for index, start in enumerate(starts):
                    await self.client.put_text(self.id, _piece(index), text[start : start + _PIECE_CHARACTERS])
                return len(starts)
            case DocumentsContext(documents):
                batches = batch_documents(documents, _PIECE_CHARACTERS)
                for index, batch in enumerate(batches):
                    await self.client.put_json(self.id, _piece(index), await asyncio.to_thread(to_json, batch))
                return len(batches)

    async def execute(self, code: str) -> CellReply:
        """Run a cell until it ends or suspends. Raises SandboxUnavailableError when the session is gone."""
        return _alive(
            await self.client.execute(
                ExecuteRequest(
                    code=code,
                    session_id=self.id,
                    create=False,
                    request_id=secrets.token_hex(8),
                    timeout=_CELL_TIMEOUT,
                    locals=LocalsMode.NONE,
                )
            )
        )

    async def reopen(self) -> None:
        """Take a final answer back. Code may have broken what does it; then its next answer is the same one."""
        await self.execute("__rlm_reopen__()")

    async def resume(self, call: HostCall, *, result: str | None = None, error: str | None = None) -> CellReply:
        """Answer the call that suspended the cell."""
        return _alive(await self.client.resume(self.id, ResumeRequest(call_id=call.id, result=result, error=error)))

    async def branch(self, session_id: str, slot: int) -> ReplSession:
        """See `fork_session`. In the copy the call is answered with the slot: there the prelude ends the cell."""
        async with self._branching:
            reply = await self.client.fork(self.id, ForkRequest(session_id=session_id))
        if reply.call is None:
            raise SessionLostError("the copied session waits in no call, so it cannot become a child's")
        copy = ReplSession(self._sandbox, session_id)
        begun = await copy.resume(reply.call, result=json.dumps({"child": slot}))
        if begun.status is not Status.OK:
            raise SessionLostError(f"the cell of the copied session went on instead of ending ({begun.status})")
        return copy

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """While inside, the suspended session is kept alive."""
        return self._sandbox.watch.suspended(self.id)

    async def final_answer(self, reply: CellReply) -> str | None:
        """The final answer, if this cell gave one: a variable's text, so that no cap of a reply cuts it."""
        if not any(event.name == FINAL_EVENT for event in reply.events):
            return None
        try:
            return await self.client.get_text(self.id, _FINAL_VARIABLE)
        except SandboxRefusedError as error:
            if error.refusal in {ErrorCode.VARIABLE_NOT_FOUND, ErrorCode.NOT_SERIALISABLE}:
                return None  # the code said the event by itself
            raise


def name_variable(name: str) -> str:
    """The cell that ends the run with a variable's value, for `FINAL_VAR(name)` in a model's text."""
    return f"FINAL_VAR({json.dumps(name)})"


def batch_documents(documents: list[Document], characters: int) -> list[list[Document]]:
    """Runs of documents of about `characters` text each; at least one batch, a large document alone."""
    batches: list[list[Document]] = [[]]
    size = 0
    for document in documents:
        length = len(document["path"]) + len(document["text"])
        if batches[-1] and size + length > characters:
            batches.append([])
            size = 0
        batches[-1].append(document)
        size += length
    return batches


def _piece(index: int) -> str:
    return f"__rlm_piece_{index}"


def _alive(reply: CellReply) -> CellReply:
    if reply.session_lost:
        raise SessionLostError(f"the session was lost when a cell ended as {reply.status}; its variables are gone")
    return reply


def _too_large(question: Question, problem: str) -> str:
    return (
        f"the sandbox could not hold the context of {question.summary.characters:,} characters ({problem}); "
        "send less, or raise the pool's memory per session"
    )
