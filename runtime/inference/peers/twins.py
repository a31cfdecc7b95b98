"""Finds the run that a request repeats when another replica has it, so that a retry is not paid twice.

`bodies.py` asks as soon as it knows the body's digest; `forwarding.py` then has that replica answer. Only what says
that it is a repeat is looked for: a request with an Idempotency-Key, and an SDK's retry.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel, ValidationError

from runtime.inference.errors import OwnerUnreachableError
from runtime.inference.hosting import Hosting
from runtime.inference.joining import IDEMPOTENCY_HEADER, Repeat
from runtime.inference.peers.directory import Directory
from runtime.inference.peers.peer_http import Peer, Purpose, asker_headers, is_forwarded

TWIN_PATH: Final = "/rlm/v1/peer/twin"
_ASK_TIMEOUT: Final = 3.0


class TwinQuery(BaseModel):
    """A request that says it is a repeat; its Idempotency-Key comes as the header that it is."""

    path: str
    digest: str
    is_retry: bool


class TwinReply(BaseModel):
    is_here: bool


class HeldElsewhereError(Exception):
    """No fault: this request is to be answered by `peer`, with this body."""

    def __init__(self, peer: Peer, body: bytes | bytearray) -> None:
        super().__init__()
        self.peer = peer
        self.body = body


class Twins:
    def __init__(self, directory: Directory, hosting: Hosting) -> None:
        self._directory = directory
        self._hosting = hosting

    async def look(self, request: web.Request, digest: str, body: bytes | bytearray) -> None:
        """Raises HeldElsewhereError. A replica that does not answer is taken not to have it."""
        repeat = Repeat.of(request, digest)
        if not self._directory.urls or is_forwarded(request) or not repeat.joins:
            return
        if any(map(self._hosting.joinable, repeat.joins)):
            return
        headers = asker_headers(request)
        if repeat.idempotency_key is not None:
            headers[IDEMPOTENCY_HEADER] = repeat.idempotency_key
        query = {"path": repeat.path, "digest": digest, "is_retry": str(repeat.is_retry)}
        target = f"{TWIN_PATH}?{urlencode(query)}"
        peers = (await self._directory.siblings(request)).peers
        held = await asyncio.gather(*(self._has(peer, target, headers) for peer in peers))
        for peer, is_here in zip(peers, held, strict=True):
            if is_here:
                raise HeldElsewhereError(peer, body)

    async def _has(self, peer: Peer, target: str, headers: dict[str, str]) -> bool:
        try:
            reply = await self._directory.http.fetch(peer, Purpose.TWIN, target, headers, _ASK_TIMEOUT)
            return reply is not None and TwinReply.model_validate_json(reply).is_here
        except (OwnerUnreachableError, ValidationError):
            return False


TWINS: Final = web.AppKey("twins", Twins)
