"""Hands a caller's request on to the replica that has what it is about, and its reply back, both as they come.

`app.py` puts this around the handlers of paths with an id, and of those that begin a run. A caller who goes away closes
the request to the other replica, which then does what it does for a caller of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from aiohttp import hdrs, web

from runtime.inference.errors import OwnerGoneError, OwnerUnreachableError
from runtime.inference.peers.directory import Directory
from runtime.inference.peers.peer_http import Peer, Purpose, asker_headers, chunks, is_forwarded
from runtime.inference.peers.twins import HeldElsewhereError
from runtime.inference.storage import storage_of
from runtime.web import REQUEST_ID_HEADER

_ASKED: Final = (
    hdrs.ACCEPT,
    hdrs.ACCEPT_ENCODING,
    hdrs.CONTENT_TYPE,
    hdrs.USER_AGENT,
    "Idempotency-Key",
    "Last-Event-ID",
    "x-stainless-retry-count",
)
"""Of a request, what the other replica gets besides the key. What is not known here is not passed on."""
_NOT_ANSWERED: Final = frozenset(
    name.lower()
    for name in (
        hdrs.CONNECTION,
        hdrs.DATE,
        hdrs.KEEP_ALIVE,
        hdrs.SERVER,
        hdrs.TRANSFER_ENCODING,
        hdrs.UPGRADE,
        REQUEST_ID_HEADER,
    )
)
"""Of a reply, what belongs to the connection that it came over, or is said by this replica as well."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Forwarding:
    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def at_owner(self, handler: Handler) -> Handler:
        """Answered by the replica that made the id in the path; by `handler` where that is this one, where there is no
        other, and where the owner is gone, since it then says so."""

        async def answer(request: web.Request) -> web.StreamResponse:
            storage = storage_of(request.match_info["id"])
            if storage is None or is_forwarded(request) or not self._directory.is_elsewhere(storage):
                return await handler(request)
            owner = await self._directory.owner(storage, request)
            if owner is None:
                return await handler(request)
            try:
                return await self._forward(request, owner)
            except OwnerGoneError:
                return await handler(request)

        return answer

    def at_twin(self, handler: Handler) -> Handler:
        """Answered by the replica that has the run which the request repeats, where `handler` finds that out."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except HeldElsewhereError as held:
                return await self._forward(request, held.peer, held.body)

        return answer

    async def _forward(
        self, request: web.Request, peer: Peer, body: bytes | bytearray | None = None
    ) -> web.StreamResponse:
        """Raises OwnerGoneError and OwnerUnreachableError as long as nothing was answered."""
        given = {name: value for name in _ASKED if (value := request.headers.get(name)) is not None}
        headers = given | asker_headers(request)
        async with self._directory.http.request(
            peer, Purpose.FORWARD, request.method, str(request.rel_url), headers, body=body
        ) as answer:
            return await _relay(request, answer)


async def _relay(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _NOT_ANSWERED:
            response.headers.add(name, value)
    await response.prepare(request)
    try:
        async for chunk in chunks(answer):
            await response.write(chunk)
    except OwnerUnreachableError:
        # What is cut off must not look whole.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
