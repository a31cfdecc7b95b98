"""The body of POST /rlm/v1/runs, and the question it asks."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.inference.answer_format import ResponseFormat
from runtime.inference.options import RunOptions
from runtime.inference.question import Context, Document, DocumentsContext, Question, TextContext, build_context


class RunRequest(BaseModel):
    """`context` is text or any JSON value; `documents` is a folder. At most one of them."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1)
    context: Any = None
    documents: list[Document] | None = Field(default=None, min_length=1)
    response_format: ResponseFormat | None = None
    options: RunOptions = Field(default_factory=RunOptions)
    stream: bool = False

    @model_validator(mode="after")
    def _has_one_context(self) -> RunRequest:
        if self.context is not None and self.documents is not None:
            raise ValueError("give `context` or `documents`, not both")
        return self

    def question(self) -> Question:
        return Question(
            text=self.query,
            context=self._context(),
            answer_format=self.response_format.build() if self.response_format else None,
        )

    def _context(self) -> Context:
        if self.documents is not None:
            return DocumentsContext(self.documents)
        return TextContext("") if self.context is None else build_context(self.context)
