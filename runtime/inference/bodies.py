"""Request bodies of tens of megabytes: read under a limit, parsed off the event loop, and then let go.

Used by both endpoints. A run may take an hour, so nothing of its request is kept but the question: not the bytes (which
aiohttp's own reading would keep as long as the request), not the parsed messages.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from runtime.inference.envelope import invalid_body
from runtime.inference.errors import TooLargeError
from runtime.inference.question import Question

RequestT = TypeVar("RequestT", bound=BaseModel)


@dataclass(frozen=True)
class Parsed(Generic[RequestT]):
    """`asked` without its texts: those are in `question`. `digest` tells equal bodies."""

    asked: RequestT
    question: Question
    digest: str


async def receive(
    request: web.Request,
    limit: int,
    model: type[RequestT],
    take_question: Callable[[RequestT], tuple[RequestT, Question]],
) -> Parsed[RequestT]:
    """Raises TooLargeError above `limit` bytes (after decompression), InvalidRequestError for what is no `model`."""
    return await asyncio.to_thread(_parse, await _read(request, limit), model, take_question)


async def _read(request: web.Request, limit: int) -> bytearray:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"the body is larger than {limit:,} bytes; send less or raise RLM_MAX_BODY_BYTES")
    return body


def _parse(
    body: bytearray, model: type[RequestT], take_question: Callable[[RequestT], tuple[RequestT, Question]]
) -> Parsed[RequestT]:
    digest = hashlib.sha256(body).hexdigest()
    try:
        asked = model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error) from error
    asked, question = take_question(asked)
    _ = question.summary  # counted here, off the event loop
    return Parsed(asked, question, digest)
