"""Responses by their ids: what is kept of the request together with the run, and the conversation up to one of them.

Asked by `responses_api.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from runtime.inference.chat_request import ChatMessage
from runtime.inference.errors import InvalidRequestError, RunNotFoundError
from runtime.inference.kept_response import KeptResponse
from runtime.inference.response_object import PREFIX
from runtime.inference.response_record import unpack_record
from runtime.inference.run_catalog import RunCatalog

MAX_TURNS: Final = 100
"""Responses in one conversation; each is looked up when it is continued."""
PREVIOUS: Final = "previous_response_id"
_ID: Final = re.compile(rf"{PREFIX}([0-9a-f]+)")


Elsewhere = Callable[[str], Awaitable[KeptResponse | None]]
"""Asks other replicas for a response; None: it is none of theirs."""


class ResponseBook:
    def __init__(self, catalog: RunCatalog) -> None:
        self._catalog = catalog

    async def find(self, owner: str | None, response_id: str) -> KeptResponse:
        """Raises RunNotFoundError, also for a run that no response was asked for."""
        run_id = run_id_of(response_id)
        packed = await self._catalog.request(owner, run_id)
        record = None if packed is None else await asyncio.to_thread(unpack_record, packed)
        if record is None or not record.store:
            raise _not_found(response_id)
        return KeptResponse(record=record, detail=await self._catalog.detail(owner, run_id))

    async def conversation(self, owner: str, response_id: str, elsewhere: Elsewhere) -> list[ChatMessage]:
        """All messages up to the answer of this response. Raises RunNotFoundError, InvalidRequestError."""
        messages: list[ChatMessage] = []
        wanted: str | None = response_id
        for _ in range(MAX_TURNS):
            if wanted is None:
                return messages
            kept = await self._find_previous(owner, wanted, elsewhere)
            messages = [*_said(wanted, kept), *messages]
            wanted = kept.record.previous_response_id
        raise InvalidRequestError(f"the conversation has more than {MAX_TURNS} responses; begin a new one", PREVIOUS)

    async def _find_previous(self, owner: str, response_id: str, elsewhere: Elsewhere) -> KeptResponse:
        try:
            return await elsewhere(response_id) or await self.find(owner, response_id)
        except RunNotFoundError as error:
            raise error.about(PREVIOUS) from error


def run_id_of(response_id: str) -> str:
    """Raises RunNotFoundError for what is no id of a response."""
    match = _ID.fullmatch(response_id)
    if match is None:
        raise _not_found(response_id)
    return match[1]


def _said(response_id: str, kept: KeptResponse) -> list[ChatMessage]:
    answer = kept.detail.answer
    if answer is None:
        raise InvalidRequestError(
            f"the response {response_id} is {kept.now.status} and has no answer that could be continued", PREVIOUS
        )
    if not kept.record.is_whole:
        raise InvalidRequestError(
            f"the input of {response_id} was too large to be kept; upload it to /v1/files and send its `file_id`",
            PREVIOUS,
        )
    asked = [message.to_chat() for message in kept.record.input]
    return [*asked, ChatMessage(role="assistant", content=answer)]


def _not_found(response_id: str) -> RunNotFoundError:
    return RunNotFoundError(f"there is no response {response_id[:100]!r}")
