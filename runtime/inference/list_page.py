"""A part of a list, as the lists of files and runs reply with it, and as replicas hand it to each other."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel


class Listed(BaseModel):
    """What every item of a list has."""

    id: str


ItemT = TypeVar("ItemT", bound=Listed)


class ListPage(BaseModel, Generic[ItemT]):
    data: list[ItemT]
    has_more: bool
