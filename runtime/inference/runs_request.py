"""The body of POST /rlm/v1/runs, and the question it asks."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from runtime.inference.answer_format import ResponseFormat
from runtime.inference.asking import Attachments, QuestionRequest, build_document_context, pick_documents
from runtime.inference.options import RunOptions
from runtime.inference.question import Context, Document, DocumentsContext, Question, TextContext, build_context


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
