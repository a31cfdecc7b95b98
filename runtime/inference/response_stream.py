"""A response as OpenAI's typed events, numbered, so that a stream that broke goes on after any of them.

The same run gives the same events with the same numbers, whenever and as often as it is followed: two when it begins,
the others when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

from runtime.inference.chat_api import DELTA_CHARACTERS
from runtime.inference.response_object import OutputMessage, OutputText, ResponseObject

_FIRST_OF_END: Final = 2


class _Event(BaseModel):
    sequence_number: int


class StateEvent(_Event):
    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ]
    response: ResponseObject


class ItemEvent(_Event):
    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int = 0
    item: OutputMessage


class PartEvent(_Event):
    type: Literal["response.content_part.added", "response.content_part.done"]
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: OutputText


class DeltaEvent(_Event):
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str
    logprobs: list[str] = Field(default_factory=list)


class TextEvent(_Event):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str
    logprobs: list[str] = Field(default_factory=list)


StreamEvent = Annotated[StateEvent | ItemEvent | PartEvent | DeltaEvent | TextEvent, Field(discriminator="type")]


def frame_stream_event(event: StreamEvent) -> bytes:
    """Without an `id:`, with which OpenAI's SDK chokes on heartbeats."""
    return f"event: {event.type}\ndata: {event.model_dump_json(by_alias=True)}\n\n".encode()


def begin_events(response: ResponseObject) -> Iterator[StreamEvent]:
    """Of a response that is in progress."""
    yield StateEvent(type="response.created", sequence_number=0, response=response)
    yield StateEvent(type="response.in_progress", sequence_number=1, response=response)


def end_events(response: ResponseObject) -> Iterator[StreamEvent]:
    """Of a response that has ended."""
    numbers = count(_FIRST_OF_END)
    for item in response.output:
        yield from _item_events(item, numbers)
    match response.status:
        case "completed":
            yield StateEvent(type="response.completed", sequence_number=next(numbers), response=response)
        case "incomplete":
            yield StateEvent(type="response.incomplete", sequence_number=next(numbers), response=response)
        case _:
            yield StateEvent(type="response.failed", sequence_number=next(numbers), response=response)


def _item_events(item: OutputMessage, numbers: count[int]) -> Iterator[StreamEvent]:
    begun = item.model_copy(update={"status": "in_progress", "content": []})
    yield ItemEvent(type="response.output_item.added", sequence_number=next(numbers), item=begun)
    for part in item.content:
        empty = OutputText(text="")
        yield PartEvent(type="response.content_part.added", sequence_number=next(numbers), item_id=item.id, part=empty)
        for start in range(0, len(part.text), DELTA_CHARACTERS):
            delta = part.text[start : start + DELTA_CHARACTERS]
            yield DeltaEvent(sequence_number=next(numbers), item_id=item.id, delta=delta)
        yield TextEvent(sequence_number=next(numbers), item_id=item.id, text=part.text)
        yield PartEvent(type="response.content_part.done", sequence_number=next(numbers), item_id=item.id, part=part)
    yield ItemEvent(type="response.output_item.done", sequence_number=next(numbers), item=item)
