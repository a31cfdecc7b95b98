"""What a guest says in its answers, checked: any guest can forge its own envelope, so nothing here is believed unseen.

An envelope that breaks the shape or a cap is a crash of that guest, not an error of the service.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from runtime.json_size import has_more_values_than

MAX_VALUES: Final = 250_000  # full events and locals have fewer; parsed, each takes about 100 bytes here
MAX_LOCALS: Final = 1_000
MAX_NAME: Final = 1_200  # 200 characters, escaped
MAX_LOCALS_BYTES: Final = 1 << 20  # of values; the guest counts less
MAX_EVENTS: Final = 10_000
MAX_EVENT_BYTES: Final = 8 << 20
MAX_CALL_BYTES: Final = 16 << 20
LARGEST_CHARACTER: Final = 4  # bytes in UTF-8


class ForgedEnvelopeError(Exception):
    """The guest's answer is not one of our loop's."""


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class GuestLocal(_Envelope):
    type: str = Field(max_length=200)
    repr: str = Field(max_length=400)
    value: Any = None


class GuestEvent(_Envelope):
    name: str = Field(max_length=64)
    payload: str


class GuestError(_Envelope):
    type: str = Field(max_length=200)
    message: str = Field(max_length=2_100)
    line: int | None = Field(default=None, ge=0, lt=1 << 31)


class GuestOutput(_Envelope):
    """What a cell wrote since its last reply."""

    stdout: str = ""
    stderr: str = ""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    events: list[GuestEvent] = Field(default_factory=list, max_length=MAX_EVENTS)


class GuestAnswer(GuestOutput):
    """The answer to a cell."""

    status: Literal["ok", "error"]
    result: str | None = Field(default=None, max_length=21_000)
    error: GuestError | None = None
    locals: dict[Annotated[str, Field(max_length=MAX_NAME)], GuestLocal] = Field(
        default_factory=dict, max_length=MAX_LOCALS
    )


class GuestCall(GuestOutput):
    """A host call, with what the cell wrote before it."""

    name: str = Field(max_length=128)
    payload: str = Field(max_length=MAX_CALL_BYTES)


class GuestPut(_Envelope):
    status: Literal["ok", "invalid", "error"]
    message: str = ""
    type: str = ""
    length: int | None = None


class GuestGet(_Envelope):
    status: Literal["ok", "missing", "large", "invalid"]
    message: str = ""
    kind: Literal["text", "json"] = "text"


EnvelopeT = TypeVar("EnvelopeT", bound=_Envelope)
OutputT = TypeVar("OutputT", bound=GuestOutput)


def parse_answer(body: bytes | bytearray) -> GuestAnswer:
    answer = _checked(GuestAnswer, body)
    if sum(len(to_json(local.value)) for local in answer.locals.values()) > MAX_LOCALS_BYTES:
        raise ForgedEnvelopeError("locals beyond the cap")
    return answer


def parse_call(body: bytes | bytearray) -> GuestCall:
    call = _checked(GuestCall, body)
    if len(call.payload) * LARGEST_CHARACTER > MAX_CALL_BYTES and len(call.payload.encode()) > MAX_CALL_BYTES:
        raise ForgedEnvelopeError("a host call beyond the cap")
    return call


def parse_put(body: bytes | bytearray) -> GuestPut:
    return _parse(GuestPut, body)


def parse_get(body: bytes | bytearray) -> GuestGet:
    return _parse(GuestGet, body)


def _checked(model: type[OutputT], body: bytes | bytearray) -> OutputT:
    output = _parse(model, body)
    if sum(len(to_json(event.payload)) - len('""') for event in output.events) > MAX_EVENT_BYTES:
        raise ForgedEnvelopeError("events beyond the cap")
    return output


def _parse(model: type[EnvelopeT], body: bytes | bytearray) -> EnvelopeT:
    if has_more_values_than(MAX_VALUES, body):
        raise ForgedEnvelopeError(f"more than {MAX_VALUES} values")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise ForgedEnvelopeError(f"{error.error_count()} fields are not our loop's") from error
