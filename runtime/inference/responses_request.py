"""The body of POST /v1/responses, and how its input becomes a question.

The input is chat messages in other words, so it is put into a `ChatRequest`, which tells question, context and history
apart. Fields that only tune sampling, caching or billing are accepted and ignored; fields that would change what the
reply means are refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from runtime.inference.answer_format import AnswerFormat, JsonSchema, ResponseFormat
from runtime.inference.asking import Attachments, QuestionRequest
from runtime.inference.chat_request import ChatMessage, ChatOptions, ChatRequest, FilePart, FileReference, TextPart
from runtime.inference.errors import InvalidRequestError
from runtime.inference.question import Question

MAX_METADATA: Final = 16
_SUPPORTED_INCLUDES: Final = frozenset({"reasoning.encrypted_content"})  # of which there is none, so it can be ignored

MetadataValue = Annotated[str, Field(max_length=512)]
MetadataKey = Annotated[str, Field(max_length=64)]


class TextInput(BaseModel):
    """`output_text` is what an earlier response said."""

    type: Literal["input_text", "output_text"]
    text: str


class FileInput(BaseModel):
    """An uploaded file."""

    type: Literal["input_file"]
    file_id: str | None = None


class OtherInput(BaseModel):
    """A part or an item that is named in the refusal."""

    type: str


class InputMessage(BaseModel):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Annotated[TextInput | FileInput | OtherInput, Field(union_mode="left_to_right")]]

    def to_chat(self) -> ChatMessage:
        """Raises InvalidRequestError for a part that is neither text nor an uploaded file."""
        if isinstance(self.content, str):
            return ChatMessage(role=self.role, content=self.content)
        return ChatMessage(role=self.role, content=[_to_chat_part(part) for part in self.content])


class TextFormat(BaseModel):
    """OpenAI's `text.format`; what chat completions call `response_format`, one level flatter."""

    model_config = ConfigDict(protected_namespaces=())

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None

    def build(self) -> AnswerFormat | None:
        schema = None if self.schema_ is None else JsonSchema(schema=self.schema_)
        try:
            return ResponseFormat(type=self.type, json_schema=schema).build()
        except InvalidRequestError as error:
            raise InvalidRequestError(error.message, "text.format") from error


class TextConfig(BaseModel):
    format: TextFormat = Field(default_factory=TextFormat)


class ResponseRequest(QuestionRequest):
    """What this endpoint reads of OpenAI's request."""

    model_config = ConfigDict(extra="ignore")

    model: str
    input: str | list[Annotated[InputMessage | OtherInput, Field(union_mode="left_to_right")]]
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool = False
    background: bool = False
    store: bool = True
    max_output_tokens: int | None = Field(default=None, ge=1)
    text: TextConfig = Field(default_factory=TextConfig)
    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=MAX_METADATA)
    tools: list[Any] | None = None
    tool_choice: Any = None
    conversation: Any = None
    prompt: Any = None
    include: list[str] | None = None
    top_logprobs: int | None = None
    rlm: ChatOptions = Field(default_factory=ChatOptions)
    _earlier: list[ChatMessage] = PrivateAttr(default_factory=list)  # messages of the responses before it

    def file_ids(self) -> list[str]:
        return [file_id for message in self.chat_messages() for file_id in message.file_ids()]

    def question(self, attachments: Attachments) -> Question:
        self._refuse_unsupported()
        system = [ChatMessage(role="system", content=self.instructions)] if self.instructions else []
        asked = ChatRequest(
            model=self.model,
            messages=[*system, *self.chat_messages()],
            max_completion_tokens=self.max_output_tokens,
            rlm=self.rlm,
        )
        try:
            question = asked.question(attachments)
        except InvalidRequestError as error:
            raise InvalidRequestError(error.message, "input") from error
        return replace(question, answer_format=self.text.format.build())

    def without_texts(self) -> Self:
        return self.model_copy(update={"input": ""}).continuing([])

    def continuing(self, earlier: list[ChatMessage]) -> Self:
        """The same request after the messages of the responses before it."""
        copy = self.model_copy()
        copy._earlier = earlier
        return copy

    def messages(self) -> list[InputMessage]:
        """The input alone. Raises InvalidRequestError for an item that is no message."""
        if isinstance(self.input, str):
            return [InputMessage(role="user", content=self.input)]
        if not self.input:
            raise InvalidRequestError("the input has no item", "input")
        return [_check_message(item) for item in self.input]

    def chat_messages(self) -> list[ChatMessage]:
        return [*self._earlier, *(message.to_chat() for message in self.messages())]

    def _refuse_unsupported(self) -> None:
        refused = {
            "tools": bool(self.tools),
            "tool_choice": self.tool_choice not in {None, "auto", "none"} if _is_text(self.tool_choice) else True,
            "conversation": self.conversation is not None,
            "prompt": self.prompt is not None,
            "include": bool(set(self.include or []) - _SUPPORTED_INCLUDES),
            "top_logprobs": bool(self.top_logprobs),
            "rlm.progress": self.rlm.progress,
        }
        for param, is_asked in refused.items():
            if is_asked:
                raise InvalidRequestError(f"`{param}` is not supported here; leave it out", param)
        if self.background and not self.store:
            raise InvalidRequestError("a background response is found by its id later, so it needs `store`", "store")


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _check_message(item: InputMessage | OtherInput) -> InputMessage:
    if isinstance(item, InputMessage):
        return item
    raise InvalidRequestError(f"input items of type {item.type[:64]!r} are not supported; send messages", "input")


def _to_chat_part(part: TextInput | FileInput | OtherInput) -> TextPart | FilePart:
    match part:
        case TextInput(text=text):
            return TextPart(type="text", text=text)
        case FileInput(file_id=str(file_id)):
            return FilePart(type="file", file=FileReference(file_id=file_id))
        case FileInput():
            raise InvalidRequestError("an input_file needs a `file_id`; upload it to /v1/files first", "input")
        case _:
            raise InvalidRequestError(
                f"input parts of type {part.type[:64]!r} are not supported; send text or files", "input"
            )
