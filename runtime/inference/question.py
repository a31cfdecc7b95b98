"""What one run is about: the question, the context it is asked over, the earlier turns, the system text.

Built by the two request mappings (`chat_request.py`, `runs_request.py`) and by `runtime.client`; read by the prompts,
the loop and the session. Values only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from pydantic_core import to_json
from typing_extensions import TypedDict  # pydantic asks for this one below Python 3.12

from runtime.inference.answer_format import AnswerFormat
from runtime.inference.events import ContextSummary

_SHOWN_KEYS: Final = 12
_MOST_VALUES: Final = 500_000
"""Of a JSON context that the code finds parsed: so many take some tens of megabytes beside the text, of the 256 that a
session has by default. What has more stays text, so that the code can decide what to parse of it."""
_VALUE_BYTES: Final = 48  # of a session's memory for each value, as measured: 25 (records) to 58 (empty dicts)
_LARGE_TEXT: Final = 4_000_000  # characters; smaller JSON can be parsed without a thought


class Document(TypedDict):
    """One file of a folder, as the code in the session finds it in `context`."""

    path: str
    text: str


class Turn(TypedDict):
    """One earlier message, as the code finds it in `history`."""

    role: str
    content: str


@dataclass(frozen=True)
class TextContext:
    text: str


@dataclass(frozen=True)
class JsonContext:
    """Any JSON value that is not a string: its UTF-8 text, and what it is in a few words.

    The value itself would take several times the memory, for as long as the run goes on.
    """

    encoded: bytes
    shape: str


@dataclass(frozen=True)
class DocumentsContext:
    documents: list[Document]


Context = TextContext | JsonContext | DocumentsContext


@dataclass(frozen=True)
class ContentKey:
    """Tells equal contexts of one key: a hash of the uploaded files that are all of the context."""

    owner: str  # the key's name
    digest: str


@dataclass(frozen=True)
class Question:
    text: str
    context: Context
    history: list[Turn] = field(default_factory=list)
    instructions: str = ""  # the caller's system text
    max_answer_tokens: int | None = None
    in_copy: bool = False  # of a child run: its session is a copy of the asking run's
    answer_format: AnswerFormat | None = None  # None: any text
    content: ContentKey | None = None  # None: not from uploaded files alone

    @cached_property
    def summary(self) -> ContextSummary:
        """Type and size of the context. For JSON the size is that of its text."""
        kind: Literal["none", "text"]
        match self.context:
            case TextContext(text):
                kind = "text" if text else "none"
                return ContextSummary(type=kind, characters=len(text))
            case DocumentsContext(documents):
                characters = sum(len(document["text"]) for document in documents)
                return ContextSummary(type="documents", characters=characters, documents=len(documents))
            case JsonContext(encoded, _):
                return ContextSummary(type="json", characters=len(encoded))

    @cached_property
    def parsed_bytes(self) -> int | None:
        """What parsing a text context that looks like JSON would take; see `estimate_parsed`."""
        return estimate_parsed(self.context.text) if isinstance(self.context, TextContext) else None


def build_context(value: Any) -> Context:
    """The context for a JSON value: text as it is, anything else with its JSON text; a very large one is that text."""
    if isinstance(value, str):
        return TextContext(value)
    encoded = to_json(value)
    if has_more_values_than(_MOST_VALUES, value):
        return TextContext(encoded.decode())
    return JsonContext(encoded, describe_value(value))


def has_more_values_than(limit: int, value: object) -> bool:
    """Whether a JSON value holds more values (itself, items, members), found without walking much further."""
    waiting = [value]
    seen = 0
    while waiting:
        item = waiting.pop()
        seen += 1
        members = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        if seen + len(waiting) + len(members) > limit:
            return True
        waiting.extend(members)
    return False


def estimate_parsed(text: str) -> int | None:
    """About how many bytes `json.loads(text)` would take in a session; None for what is small or does not look like
    JSON. Commas and brackets in strings count too, so it is rather too much."""
    if len(text) < _LARGE_TEXT or text[:100].lstrip()[:1] not in ("{", "["):
        return None
    return len(text) + _VALUE_BYTES * sum(map(text.count, ",:[{"))


def describe_value(value: object) -> str:
    """Type, length, and the first keys of a dict or the types in a list."""
    if isinstance(value, dict):
        keys = [repr(str(key)[:60]) for key in list(value)[:_SHOWN_KEYS]]
        more = ", ..." if len(value) > _SHOWN_KEYS else ""
        return f"dict with {len(value):,} keys: {', '.join(keys)}{more}"
    if isinstance(value, list):
        kinds = sorted({type(item).__name__ for item in value})
        return f"list of {len(value):,} items ({', '.join(kinds)})"
    return type(value).__name__
