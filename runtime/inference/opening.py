"""How a run's session begins: created with the prelude, given the question's context and history.

`session.py` begins sessions, and begins them again after a loss; what an `Origin` needs for that it keeps by reference.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Final, Protocol

from pydantic_core import to_json

from runtime.inference.calls import HOST_FUNCTIONS
from runtime.inference.errors import ContextTooLargeError, SandboxRefusedError, SandboxUnavailableError
from runtime.inference.question import Context, Document, DocumentsContext, JsonContext, Question, TextContext
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.tools.offer import ToolOffer
from runtime.wire import (
    CellReply,
    CheckpointPolicy,
    ErrorCode,
    ExecuteRequest,
    LocalsMode,
    SessionRequest,
    Status,
)

CELL_TIMEOUT: Final = 30.0
_DELETE_TIMEOUT: Final = 5.0
_PIECE_CHARACTERS: Final = 16 * 1024 * 1024  # of one request, so that neither end holds a large context twice
_TOO_MUCH: Final = frozenset({ErrorCode.TOO_LARGE, ErrorCode.LIMIT_EXCEEDED, ErrorCode.INVALID_VALUE})


class Origin(Protocol):
    async def begin(self, client: SandboxClient, session_id: str) -> int:
        """Make the session. The server's number of the last cell that this took.

        Raises SandboxUnavailableError when there is none to be had, ContextTooLargeError when the context does not fit.
        """


@dataclass(frozen=True)
class Fresh:
    """A session of its own. The seed makes the code's random numbers the same when it is made again."""

    question: Question
    tools: tuple[ToolOffer, ...] = ()
    seed: int = field(default_factory=lambda: secrets.randbits(64))

    @property
    def host_functions(self) -> list[str]:
        return [*HOST_FUNCTIONS, *(tool.name for tool in self.tools)]

    async def begin(self, client: SandboxClient, session_id: str) -> int:
        await client.create_session(
            SessionRequest(
                session_id=session_id,
                prelude=read_prelude(),
                host_functions=self.host_functions,
                checkpoint=CheckpointPolicy.IDLE,
                seed=self.seed,
            )
        )
        with fitting(self.question):
            pieces = await put_context(client, session_id, self.question.context)
            await client.put_json(session_id, "history", await asyncio.to_thread(to_json, self.question.history))
        return await begin_repl(client, session_id, self, pieces)


def read_prelude() -> str:
    """The guest code of `prelude.py`, as text."""
    return resources.files("runtime.inference").joinpath("prelude.py").read_text(encoding="utf-8")


async def begin_repl(client: SandboxClient, session_id: str, fresh: Fresh, pieces: int) -> int:
    """What is done once, when prelude, context and history are there: the number of the cell. Raises
    ContextTooLargeError."""
    question = fresh.question
    as_json = question.answer_format is not None
    tools = {tool.name: tool.description for tool in fresh.tools}
    begun = await execute(client, session_id, f"__rlm_begin__({pieces}, {as_json}, {tools!r})")
    if begun.status is not Status.OK:
        problem = begun.error.type if begun.error else begun.status.value
        raise ContextTooLargeError(_too_large(question, problem))
    return begun.cell


async def execute(client: SandboxClient, session_id: str, code: str) -> CellReply:
    return await client.execute(
        ExecuteRequest(
            code=code,
            session_id=session_id,
            create=False,
            request_id=secrets.token_hex(8),
            timeout=CELL_TIMEOUT,
            locals=LocalsMode.NONE,
        )
    )


async def put_context(client: SandboxClient, session_id: str, context: Context) -> int:
    """How many pieces were sent; 0 when the variable was set at once."""
    match context:
        case JsonContext(encoded, _):
            await client.put_json(session_id, "context", encoded)
            return 0
        case TextContext(text) if len(text) <= _PIECE_CHARACTERS:
            await client.put_text(session_id, "context", text)
            return 0
        case _:
            return await put_pieces(client, session_id, context)


async def put_pieces(client: SandboxClient, session_id: str, context: Context, whole: int = _PIECE_CHARACTERS) -> int:
    """As variables that `__rlm_begin__` puts together; how many. An ASCII text of up to `whole` characters is one,
    which costs nothing to put together."""
    match context:
        case TextContext(text):
            size = whole if text.isascii() else _PIECE_CHARACTERS
            starts = range(0, len(text), size)
            for index, start in enumerate(starts):
                await client.put_text(session_id, _piece(index), text[start : start + size])
            return len(starts)
        case DocumentsContext(documents):
            batches = batch_documents(documents, _PIECE_CHARACTERS)
            for index, batch in enumerate(batches):
                await client.put_json(session_id, _piece(index), await asyncio.to_thread(to_json, batch))
            return len(batches)
        case JsonContext():
            raise TypeError("a JSON value has no pieces")


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


async def end_session(client: SandboxClient, session_id: str) -> None:
    """What cannot be deleted ends by the pool's idle timeout."""
    with contextlib.suppress(TimeoutError, SandboxUnavailableError):
        async with asyncio.timeout(_DELETE_TIMEOUT):
            await client.delete(session_id)


@contextlib.contextmanager
def fitting(question: Question) -> Iterator[None]:
    """What the sandbox refuses as too much is the context's size."""
    try:
        yield
    except SandboxRefusedError as error:
        if error.refusal in _TOO_MUCH:
            raise ContextTooLargeError(_too_large(question, str(error))) from error
        raise


def _piece(index: int) -> str:
    return f"__rlm_piece_{index}"


def _too_large(question: Question, problem: str) -> str:
    return (
        f"the sandbox could not hold the context of {question.summary.characters:,} characters ({problem}); "
        "send less, or raise the pool's memory per session"
    )
