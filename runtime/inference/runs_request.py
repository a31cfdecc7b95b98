"""The body of POST /rlm/v1/runs, and the question it asks."""

from __future__ import annotations

from typing import Any, Final, Self

import msgspec
from pydantic import ConfigDict, Field, model_validator

from runtime.inference.answer_format import ResponseFormat
from runtime.inference.asking import (
    MAX_VALUES,
    Attachments,
    QuestionRequest,
    build_document_context,
    pick_documents,
)
from runtime.inference.errors import InvalidRequestError
from runtime.inference.options import RunOptions
from runtime.inference.question import Context, Document, DocumentsContext, Question, TextContext, build_context
from runtime.json_size import has_more_values_than

_SMALL_BODY: Final = 1024 * 1024  # bytes; whatever is in it, it is parsed in a moment
_STRUCTURES: Final = (b"[", b"{")


class RunRequest(QuestionRequest):
    """`context` is text or any JSON value, `documents` a folder, `files` ids of uploads. At most one of them."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1)
    context: Any = None
    documents: list[Document] | None = Field(default=None, min_length=1)
    response_format: ResponseFormat | None = None
    files: list[str] | None = Field(default=None, min_length=1)
    options: RunOptions = Field(default_factory=RunOptions)
    stream: bool = False
    background: bool = False  # answered at once with 202; the run goes on whether or not anybody waits

    @classmethod
    def read(cls, body: bytes | bytearray) -> Self:
        """A context of very many values is taken out as its text and never parsed here, where it would take seconds and
        thirty times its size."""
        if len(body) <= _SMALL_BODY:
            return cls.model_validate_json(body)
        fields = _split_fields(body, list(cls.model_fields))
        context = bytes(fields.get("context", b""))
        if not context.startswith(_STRUCTURES) or not has_more_values_than(MAX_VALUES, context):
            return super().read(body)
        asked = super().read(msgspec.json.encode({**fields, "context": msgspec.Raw(b'""')}))
        return asked.model_copy(update={"context": _decode(context)})

    @model_validator(mode="after")
    def _has_one_context(self) -> RunRequest:
        if sum(given is not None for given in (self.context, self.documents, self.files)) > 1:
            raise ValueError("give one of `context`, `documents` and `files`, not several")
        return self

    def file_ids(self) -> list[str]:
        return self.files or []

    def question(self, attachments: Attachments) -> Question:
        return Question(
            text=self.query,
            context=self._context(attachments),
            answer_format=self.response_format.build() if self.response_format else None,
        )

    def without_texts(self) -> Self:
        return self.model_copy(update={"context": None, "documents": None})

    def _context(self, attachments: Attachments) -> Context:
        if self.files is not None:
            return build_document_context(pick_documents(self.files, attachments))
        if self.documents is not None:
            return DocumentsContext(self.documents)
        return TextContext("") if self.context is None else build_context(self.context)


def _split_fields(body: bytes | bytearray, names: list[str]) -> dict[str, msgspec.Raw]:
    """The JSON text of each field that is there. Raises InvalidRequestError."""
    shape = msgspec.defstruct(
        "Fields", [(name, msgspec.Raw, msgspec.Raw()) for name in names], forbid_unknown_fields=True
    )
    try:
        found = msgspec.structs.asdict(msgspec.json.decode(body, type=shape))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"the body cannot be read: {error}") from error
    return {name: raw for name, raw in found.items() if raw}


def _decode(context: bytes) -> str:
    try:
        return str(context, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the context is not UTF-8 (byte {error.start:,} of it)", "context") from error
