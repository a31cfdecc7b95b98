"""Request bodies of tens of megabytes: read under a limit, parsed off the event loop, and then let go.

Used by every endpoint that asks a question. A run may take an hour, so nothing of its request is kept but the question:
not the bytes (which aiohttp's own reading would keep as long as the request), not the parsed messages.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from aiohttp import web
from pydantic import ValidationError

from runtime.inference.asking import QuestionRequest
from runtime.inference.attachments import Attached, read_attachments
from runtime.inference.encodings import check_ratio
from runtime.inference.envelope import KEY_NAME, invalid_body
from runtime.inference.errors import TooLargeError
from runtime.inference.intake import INTAKE, Share
from runtime.inference.peers.shelf import Shelf
from runtime.inference.peers.twins import TWINS
from runtime.inference.question import Question

RequestT = TypeVar("RequestT", bound=QuestionRequest)


@dataclass(frozen=True)
class Parsed(Generic[RequestT]):
    """`asked` without its texts: those are in `question`. `digest` tells equal bodies."""

    asked: RequestT
    question: Question
    digest: str


async def as_it_is(asked: RequestT) -> RequestT:
    return asked


async def receive(
    request: web.Request,
    limit: int,
    model: type[RequestT],
    files: Shelf,
    complete: Callable[[RequestT], Awaitable[RequestT]] = as_it_is,
) -> Parsed[RequestT]:
    """`complete` adds what the body only refers to.

    Raises TooLargeError above `limit` bytes (after decompression), InvalidRequestError for what is no `model`,
    FileNotFoundHereError for files that the caller does not have, BusyError while others send too
    much, SlowBodyError; HeldElsewhereError where another replica has the run that the request repeats."""
    owner = request[KEY_NAME]
    with request.app[INTAKE].share() as share:
        body = await _read(request, limit, share)
        digest = await asyncio.to_thread(_digest, body)
        await request.app[TWINS].look(request, digest, body)
        asked = await asyncio.to_thread(_parse, body, model)
        del body
        asked = await complete(asked)
        attached = await read_attachments(files.seen_by(request), asked.file_ids(), limit)
        return Parsed(asked.without_texts(), await asyncio.to_thread(_take_question, asked, attached, owner), digest)


async def _read(request: web.Request, limit: int, share: Share) -> bytearray:
    body = bytearray()
    async for chunk in request.app[INTAKE].chunks(request):
        share.grow(len(chunk))
        body += chunk
        if len(body) > limit:
            check_ratio(request, len(body))
            raise TooLargeError(f"the body is larger than {limit:,} bytes; send less or raise RLM_MAX_BODY_BYTES")
    return body


def _digest(body: bytearray) -> str:
    return hashlib.sha256(body).hexdigest()


def _parse(body: bytearray, model: type[RequestT]) -> RequestT:
    try:
        return model.read(body)
    except ValidationError as error:
        raise invalid_body(error) from error


def _take_question(asked: QuestionRequest, attached: Attached, owner: str) -> Question:
    question = asked.question(attached.documents)
    question = replace(question, content=attached.identify(owner, question.context))
    _ = question.summary, question.parsed_bytes  # counted here, off the event loop
    return question
