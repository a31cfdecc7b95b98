"""What suspended code asks for, and the form in which it gets the answers: the other end of the prelude's `ask_part`.

Used by `subcalls.py`, and by `copying.py` when a cell is run again. Values only. Any code in the session can call the
door, so the payload is checked by schema.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from runtime.wire import HostCall

LLM_QUERY: Final = "llm_query"
RLM_QUERY: Final = "rlm_query"
HOST_FUNCTIONS: Final = (LLM_QUERY, RLM_QUERY)
MAX_BATCH: Final = 10_000
MAX_REPLY_CHARACTERS: Final = 5 * 1024 * 1024  # at most 4 bytes each: what the sandbox takes in one request
_TOO_LONG: Final = (
    "Error: the answers of this batch are too long to be handed over at once; ask fewer prompts in one batch"
)


class SubCallRequest(BaseModel):
    """The payload of a `llm_query` or `rlm_query` call."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompts: list[str] = Field(min_length=1, max_length=MAX_BATCH)
    model: str | None = Field(default=None, max_length=200)


class SubCallReply(BaseModel):
    """Same length and order as the prompts."""

    answers: list[str]


def parse_call(call: HostCall) -> SubCallRequest | str:
    """What is asked, or in words why it cannot be."""
    if call.name not in HOST_FUNCTIONS:
        return f"there is no host function {call.name[:100]!r}"
    try:
        return SubCallRequest.model_validate_json(call.payload)
    except ValidationError as error:
        problems = f"the payload of {call.name} has {error.error_count()} wrong fields"
        return f"{problems}; use {call.name} or {call.name}_batched"


def render_answers(answers: list[str]) -> str:
    return SubCallReply(answers=fit_answers(answers)).model_dump_json()


def fit_answers(answers: list[str], room: int = MAX_REPLY_CHARACTERS) -> list[str]:
    """What can be handed over at once, the shortest first; in place of the others a string that says so. `room` is in
    characters of JSON."""
    sizes = [len(to_json(answer).decode()) + 1 for answer in answers]
    left = room - len('{"answers":[]}') - sum(min(size, len(_TOO_LONG) + 3) for size in sizes)
    fitted = list(answers)
    for index in sorted(range(len(answers)), key=sizes.__getitem__):
        more = max(0, sizes[index] - len(_TOO_LONG) - 3)
        if more > left:
            fitted[index] = _TOO_LONG
        else:
            left -= more
    return fitted
