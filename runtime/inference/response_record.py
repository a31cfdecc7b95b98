"""What is kept of a request to /v1/responses beside its run: what the response says back, and its input.

Made by `responses_api.py` from the request, stored with the run (`run_archive.py`), read when the response is asked for
again or continued.
"""

from __future__ import annotations

import gzip
from typing import Final

from pydantic import BaseModel
from pydantic_core import to_json

from runtime.inference.chat_request import LONG_PART
from runtime.inference.responses_request import InputMessage, ResponseRequest, TextConfig, TextInput

MAX_KEPT_BYTES: Final = 8 * 1024 * 1024  # of an input as JSON; of a larger one the long texts are not kept


class ResponseRecord(BaseModel):
    model: str
    instructions: str | None
    previous_response_id: str | None
    background: bool
    store: bool
    max_output_tokens: int | None
    text: TextConfig
    metadata: dict[str, str]
    input: list[InputMessage]
    is_whole: bool  # whether `input` has all its texts


def pack_record(asked: ResponseRequest) -> bytes:
    """As it is stored. Raises InvalidRequestError for an input that is not supported."""
    messages = asked.messages()
    is_whole = len(to_json(messages)) <= MAX_KEPT_BYTES
    record = ResponseRecord(
        model=asked.model,
        instructions=asked.instructions,
        previous_response_id=asked.previous_response_id,
        background=asked.background,
        store=asked.store,
        max_output_tokens=asked.max_output_tokens,
        text=asked.text,
        metadata=asked.metadata,
        input=messages if is_whole else [_shorten(message) for message in messages],
        is_whole=is_whole,
    )
    return gzip.compress(record.model_dump_json(by_alias=True).encode(), 1)


def unpack_record(content: bytes) -> ResponseRecord:
    return ResponseRecord.model_validate_json(gzip.decompress(content))


def _shorten(message: InputMessage) -> InputMessage:
    if isinstance(message.content, str):
        return message.model_copy(update={"content": _shorten_text(message.content)})
    parts = [
        part.model_copy(update={"text": _shorten_text(part.text)}) if isinstance(part, TextInput) else part
        for part in message.content
    ]
    return message.model_copy(update={"content": parts})


def _shorten_text(text: str) -> str:
    return f"[{len(text):,} characters, not kept]" if len(text) > LONG_PART else text
