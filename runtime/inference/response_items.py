"""The input of a response as OpenAI lists it: one item for each message, with an id."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.inference.errors import NotFoundError
from runtime.inference.responses_request import FileInput, InputMessage, OtherInput, TextInput


class ItemsQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    limit: int = Field(default=20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None  # an item's id


class InputItem(BaseModel):
    id: str
    type: Literal["message"] = "message"
    role: str
    status: Literal["completed"] = "completed"
    content: list[TextInput | FileInput | OtherInput]


class ItemsPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[InputItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


def build_page(run_id: str, messages: list[InputMessage], query: ItemsQuery) -> ItemsPage:
    """Raises NotFoundError for an `after` that is no item of it."""
    items = [_build_item(f"msg_{run_id}_{number}", message) for number, message in enumerate(messages)]
    if query.order == "desc":
        items.reverse()
    if query.after is not None:
        ids = [item.id for item in items]
        if query.after not in ids:
            raise NotFoundError(f"there is no input item {query.after[:100]!r} in this response", "after")
        items = items[ids.index(query.after) + 1 :]
    page = items[: query.limit]
    return ItemsPage(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(items) > len(page),
    )


def _build_item(item_id: str, message: InputMessage) -> InputItem:
    if not isinstance(message.content, str):
        return InputItem(id=item_id, role=message.role, content=message.content)
    kind: Literal["input_text", "output_text"] = "output_text" if message.role == "assistant" else "input_text"
    return InputItem(id=item_id, role=message.role, content=[TextInput(type=kind, text=message.content)])
