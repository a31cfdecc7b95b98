"""Responses that another replica keeps, for those that continue them. Asked by `response_book.py`."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from runtime.inference.errors import OwnerGoneError, RunNotFoundError
from runtime.inference.kept_response import KeptResponse
from runtime.inference.peers.directory import Directory
from runtime.inference.peers.peer_http import Purpose, asker_headers, is_forwarded
from runtime.inference.storage import storage_of

RESPONSE_PATH: Final = "/rlm/v1/peer/responses/"
_ASK_TIMEOUT: Final = 30.0  # an input may have megabytes


class Conversations:
    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def find(self, request: web.Request, response_id: str) -> KeptResponse | None:
        """None: it is this replica that knows, or nobody. Raises RunNotFoundError, OwnerUnreachableError."""
        storage = storage_of(response_id)
        if storage is None or is_forwarded(request) or not self._directory.is_elsewhere(storage):
            return None
        peer = await self._directory.owner(storage, request)
        if peer is None:
            return None
        try:
            reply = await self._directory.http.fetch(
                peer, Purpose.CONVERSATION, RESPONSE_PATH + response_id, asker_headers(request), _ASK_TIMEOUT
            )
        except OwnerGoneError:
            return None
        if reply is None:
            raise RunNotFoundError(f"there is no response {response_id!r}")
        return KeptResponse.model_validate_json(reply)
