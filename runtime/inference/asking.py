"""What every request that asks a question has in common: files it names, and the question in it.

The bodies of chat completions, responses and native runs derive from it; `bodies.py` receives them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Self

from pydantic import BaseModel

from runtime.inference.errors import TooLargeError
from runtime.inference.question import Context, Document, DocumentsContext, Question, TextContext
from runtime.json_size import has_more_values_than

Attachments = Mapping[str, Document]
"""Uploaded files by id; `path` is the file's name."""


MAX_VALUES: Final = 500_000
"""JSON values in a body, a context that stays text aside: a folder of 100,000 files has 300,000."""


class QuestionRequest(BaseModel, ABC):
    @classmethod
    def read(cls, body: bytes | bytearray) -> Self:
        """Raises pydantic.ValidationError, and TooLargeError for what would take many times its size in memory."""
        if has_more_values_than(MAX_VALUES, body):
            raise TooLargeError(
                f"the body has more than {MAX_VALUES:,} JSON values; send the context as text, or upload it as a file"
            )
        return cls.model_validate_json(body)

    @abstractmethod
    def file_ids(self) -> list[str]:
        """The uploaded files that the question is asked over, in order; one may come twice."""

    @abstractmethod
    def question(self, attachments: Attachments) -> Question:
        """Raises InvalidRequestError for what the endpoint cannot do. `attachments` has all of `file_ids`."""

    @abstractmethod
    def without_texts(self) -> Self:
        """A copy to keep while the run goes on: the texts are in the question."""


def pick_documents(file_ids: list[str], attachments: Attachments) -> list[Document]:
    """Each file once, in the order of its first mention."""
    return [attachments[file_id] for file_id in dict.fromkeys(file_ids)]


def build_document_context(documents: list[Document]) -> Context:
    """One file is its text, as if it had been sent; several are a folder."""
    return TextContext(documents[0]["text"]) if len(documents) == 1 else DocumentsContext(documents)
