"""/rlm/v1/peer: what replicas ask each other besides what callers ask. It takes a caller's key, and shows that caller
nothing that it could not see otherwise."""

from __future__ import annotations

from aiohttp import web

from runtime.inference.envelope import KEY_NAME
from runtime.inference.hosting import Hosting
from runtime.inference.joining import IDEMPOTENCY_HEADER, Repeat
from runtime.inference.peers.directory import Identity
from runtime.inference.peers.twins import TwinQuery, TwinReply
from runtime.inference.queries import parse_query
from runtime.inference.response_book import ResponseBook


class PeerApi:
    """`storage` is the token of this replica's storage."""

    def __init__(self, storage: str, hosting: Hosting, book: ResponseBook) -> None:
        self._identity = Identity(storage=storage)
        self._hosting = hosting
        self._book = book

    async def get_identity(self, _: web.Request) -> web.Response:
        return web.json_response(text=self._identity.model_dump_json())

    async def get_twin(self, request: web.Request) -> web.Response:
        """Whether a run of this key can be joined by such a request."""
        query = parse_query(request, TwinQuery)
        given = request.headers.get(IDEMPOTENCY_HEADER) or None
        repeat = Repeat(request[KEY_NAME], query.path, query.digest, given, query.is_retry)
        is_here = any(map(self._hosting.joinable, repeat.joins))
        return web.json_response(text=TwinReply(is_here=is_here).model_dump_json())

    async def get_response(self, request: web.Request) -> web.Response:
        """A response of this key with its whole input, to be continued."""
        kept = await self._book.find(request[KEY_NAME], request.match_info["id"])
        return web.json_response(text=kept.model_dump_json(by_alias=True))
