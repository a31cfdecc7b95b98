"""The body of POST /v1/chat/completions, and how its messages become a question over a context.

Clients put everything into messages, so the long parts have to be told from the question: a part of more than 8,000
characters is always context, wherever it stands. Fields that only tune sampling are accepted and ignored; fields that
would change what the reply means are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from runtime.inference.answer_format import ResponseFormat
from runtime.inference.asking import Attachments, QuestionRequest, build_document_context, pick_documents
from runtime.inference.errors import InvalidRequestError
from runtime.inference.options import RunOptions
from runtime.inference.question import Context, Document, DocumentsContext, Question, TextContext, Turn, build_context

LONG_PART: Final = 8_000  # characters
EXCERPT: Final = 1_000  # characters of each end of a part that is all there is
EXCERPT_HEADS: Final = (f"Its first {EXCERPT:,} characters:", f"Its last {EXCERPT:,} characters:")


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class FileReference(BaseModel):
    file_id: str


class FilePart(BaseModel):
    """An uploaded file: always context."""

    type: Literal["file"]
    file: FileReference


class OtherPart(BaseModel):
    """An image, audio or a file's content: named in the refusal."""

    type: str


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Annotated[TextPart | FilePart | OtherPart, Field(union_mode="left_to_right")]] | None = None

    def texts(self) -> list[str]:
        """Its parts' texts. Raises InvalidRequestError for a part that is no text."""
        if self.content is None:
            return []
        if isinstance(self.content, str):
            return [self.content]
        return [_text_of(part) for part in self.content if not isinstance(part, FilePart)]

    def file_ids(self) -> list[str]:
        if self.content is None or isinstance(self.content, str):
            return []
        return [part.file.file_id for part in self.content if isinstance(part, FilePart)]


class ChatOptions(RunOptions):
    """The `rlm` object (extra_body of the SDK)."""

    question: str | None = Field(default=None, min_length=1)
    progress: bool = False  # streams: say what the run does as reasoning deltas


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(QuestionRequest):
    """What this endpoint reads of OpenAI's request."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: ResponseFormat | None = None
    rlm: ChatOptions = Field(default_factory=ChatOptions)

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def answer_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def file_ids(self) -> list[str]:
        return [file_id for message in self.messages for file_id in message.file_ids()]

    def without_texts(self) -> Self:
        return self.model_copy(update={"messages": []})

    def question(self, attachments: Attachments) -> Question:
        self._refuse_unsupported()
        turns = [message for message in self.messages if message.role in {"user", "assistant"}]
        if not turns or turns[-1].role != "user":
            raise InvalidRequestError("the last message must be the user's", "messages")
        instructions, from_system = _split_instructions(self._system_texts())
        history, from_history = _split_history(turns[:-1])
        text, from_last = _split_question(turns[-1].texts(), self.rlm.question)
        return Question(
            text=text,
            context=_join_context(
                [*from_system, *from_history, *from_last], pick_documents(self.file_ids(), attachments)
            ),
            history=history,
            instructions=instructions,
            max_answer_tokens=self.answer_tokens,
            answer_format=self.response_format.build() if self.response_format else None,
        )

    def _system_texts(self) -> list[str]:
        return [text for m in self.messages if m.role in {"system", "developer"} for text in m.texts()]

    def _refuse_unsupported(self) -> None:
        refused = {
            "n": self.n is not None and self.n != 1,
            "logprobs": bool(self.logprobs),
            "top_logprobs": bool(self.top_logprobs),
            "tools": bool(self.tools),
            "functions": bool(self.functions),
        }
        for param, is_asked in refused.items():
            if is_asked:
                raise InvalidRequestError(f"`{param}` is not supported here; leave it out", param)
        if any(message.role in {"tool", "function"} for message in self.messages):
            raise InvalidRequestError("messages with the role tool or function are not supported here", "messages")


def _text_of(part: TextPart | OtherPart) -> str:
    if isinstance(part, TextPart):
        return part.text
    if part.type == "file":
        raise InvalidRequestError("a file needs a `file_id`; upload it to /v1/files first", "messages")
    raise InvalidRequestError(f"message parts of type {part.type[:64]!r} are not supported; send text", "messages")


def _split_instructions(texts: Iterable[str]) -> tuple[str, list[str]]:
    """System text for the root prompt, up to LONG_PART characters in all; the rest is context."""
    kept: list[str] = []
    context: list[str] = []
    for text in texts:
        fits = sum(map(len, kept)) + len(text) <= LONG_PART
        (kept if fits else context).append(text)
    return "\n\n".join(kept), context


def _split_history(messages: Iterable[ChatMessage]) -> tuple[list[Turn], list[str]]:
    """Earlier turns; their long parts are context and leave a note behind."""
    turns: list[Turn] = []
    context: list[str] = []
    for message in messages:
        texts = message.texts()
        context.extend(text for text in texts if len(text) > LONG_PART)
        shown = [f"[{len(text):,} characters, see context]" if len(text) > LONG_PART else text for text in texts]
        turns.append(Turn(role=message.role, content="\n\n".join(shown)))
    return turns, context


def _split_question(texts: list[str], given: str | None) -> tuple[str, list[str]]:
    """(question, context) of the last user message."""
    texts = [text for text in texts if text.strip()]
    if given is not None:
        return given, texts
    if not texts:
        raise InvalidRequestError("the last user message has no text", "messages")
    long_parts = [text for text in texts if len(text) > LONG_PART]
    if not long_parts:
        return texts[-1], texts[:-1]
    rest = [text for text in texts if len(text) <= LONG_PART]
    return "\n\n".join(rest) or excerpt_question(long_parts[-1]), long_parts


def excerpt_question(text: str) -> str:
    """The question when a long text is all there is; child runs are asked in the same way."""
    return (
        f"The question is inside the context, a text of {len(text):,} characters, most likely at one of its ends.\n"
        f"{EXCERPT_HEADS[0]}\n{text[:EXCERPT]}\n\n"
        f"{EXCERPT_HEADS[1]}\n{text[-EXCERPT:]}"
    )


def _join_context(texts: list[str], documents: list[Document]) -> Context:
    """One text as a str, several as a list of str; with files beside texts all are a folder."""
    if documents and texts:
        parts = [Document(path=f"message part {number}", text=text) for number, text in enumerate(texts, start=1)]
        return DocumentsContext([*documents, *parts])
    if documents:
        return build_document_context(documents)
    if len(texts) > 1:
        return build_context(texts)
    return TextContext(texts[0] if texts else "")
