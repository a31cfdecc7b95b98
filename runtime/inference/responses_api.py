"""/v1/responses: OpenAI's endpoint for runs that take long, or that are asked for again later.

A response is a run, with the id `resp_` and the run's; whose it is, how long it is kept and what ends it are the run's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from runtime.inference.bodies import receive
from runtime.inference.envelope import KEY_NAME, caller_of
from runtime.inference.errors import ModelNotFoundError, RunNotFoundError
from runtime.inference.events import TrajectoryEvent
from runtime.inference.hosting import Hosting
from runtime.inference.joining import start_or_join
from runtime.inference.options import apply_options
from runtime.inference.ownership import visible_owner
from runtime.inference.peers.conversations import Conversations
from runtime.inference.peers.shelf import Shelf
from runtime.inference.queries import parse_query
from runtime.inference.replies import PING, Pace, open_stream, reply_when_done
from runtime.inference.response_book import ResponseBook
from runtime.inference.response_items import ItemsQuery, build_page
from runtime.inference.response_object import ResponseObject, build_response
from runtime.inference.response_record import ResponseRecord, pack_record, unpack_record
from runtime.inference.response_stream import StreamEvent, begin_events, end_events, frame_stream_event
from runtime.inference.responses_request import ResponseRequest
from runtime.inference.run_catalog import RunCatalog
from runtime.inference.run_handle import Origin, RunHandle
from runtime.inference.settings import InferenceSettings

_NO_EVENT: Final = sys.maxsize  # follow a run only to learn of its end


class GetQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    stream: bool = False
    starting_after: int = Field(default=-1, ge=-1)  # sequence number of the last event that is known


class ResponsesApi:
    def __init__(
        self,
        settings: InferenceSettings,
        hosting: Hosting,
        catalog: RunCatalog,
        book: ResponseBook,
        files: Shelf,
        elsewhere: Conversations,
        pace: Pace,
    ) -> None:
        self._settings = settings
        self._hosting = hosting
        self._catalog = catalog
        self._book = book
        self._elsewhere = elsewhere
        self._files = files
        self._pace = pace

    async def post_responses(self, request: web.Request) -> web.StreamResponse:
        packed = b""

        async def complete(asked: ResponseRequest) -> ResponseRequest:
            nonlocal packed
            packed = await asyncio.to_thread(pack_record, asked)
            if asked.previous_response_id is None:
                return asked
            said = await self._book.conversation(
                request[KEY_NAME], asked.previous_response_id, partial(self._elsewhere.find, request)
            )
            return asked.continuing(said)

        parsed = await receive(request, self._settings.max_body_bytes, ResponseRequest, self._files, complete)
        asked = parsed.asked
        if asked.model != self._settings.served_model:
            raise ModelNotFoundError(
                f"the model {asked.model[:200]!r} does not exist; this service has {self._settings.served_model!r}",
                "model",
            )
        limits = apply_options(self._settings.limits, asked.rlm, "rlm")
        origin = Origin(packed, is_stored=asked.store)
        if asked.stream:
            handle = self._hosting.start(parsed.question, limits, caller_of(request), origin)
        else:
            handle = start_or_join(self._hosting, request, parsed.digest, parsed.question, limits, origin)
        if asked.background:
            await self._hosting.leave_alone(handle)
        record = await asyncio.to_thread(unpack_record, packed)
        if asked.stream:
            return await self._stream(request, record, handle)
        if asked.background:
            return _reply(build_response(record, handle.record.detail()))
        return await reply_when_done(
            request, handle, lambda _: _encode(build_response(record, handle.record.detail())), self._pace
        )

    async def get_response(self, request: web.Request) -> web.StreamResponse:
        """As it is now, or with `?stream=true` its events, those that are still to come included."""
        query = parse_query(request, GetQuery)
        owner, response_id = self._wanted(request)
        kept = await self._book.find(owner, response_id)
        if not query.stream:
            return _reply(kept.now)
        events = await self._catalog.follow(owner, kept.detail.id, _NO_EVENT, self._pace.heartbeat)
        async with open_stream(request) as response:
            await _write(response, begin_events(kept.begun), query.starting_after)
            await _outlast(events, response)
            with suppress(RunNotFoundError):  # it was deleted meanwhile: the stream ends
                ended = await self._book.find(owner, response_id)
                await _write(response, end_events(ended.now), query.starting_after)
        return response

    async def post_cancel(self, request: web.Request) -> web.Response:
        owner, response_id = self._wanted(request)
        kept = await self._book.find(owner, response_id)
        return _reply(build_response(kept.record, await self._catalog.cancel(owner, kept.detail.id)))

    async def delete_response(self, request: web.Request) -> web.Response:
        owner, response_id = self._wanted(request)
        kept = await self._book.find(owner, response_id)
        await self._catalog.delete(owner, kept.detail.id)
        return web.json_response({"id": response_id, "object": "response", "deleted": True})

    async def get_input_items(self, request: web.Request) -> web.Response:
        query = parse_query(request, ItemsQuery)
        kept = await self._book.find(*self._wanted(request))
        page = build_page(kept.detail.id, kept.record.input, query)
        return web.Response(text=page.model_dump_json(), content_type="application/json")

    def _wanted(self, request: web.Request) -> tuple[str | None, str]:
        return visible_owner(request, self._settings.admins), request.match_info["id"]

    async def _stream(self, request: web.Request, record: ResponseRecord, handle: RunHandle) -> web.StreamResponse:
        with handle.attend(linger=0):
            async with open_stream(request) as response:
                await _write(response, begin_events(build_response(record, handle.record.detail().begun())))
                await _outlast(handle.log.follow(_NO_EVENT, self._pace.heartbeat), response)
                await _write(response, end_events(build_response(record, handle.record.detail())))
            return response


async def _write(response: web.StreamResponse, events: Iterator[StreamEvent], after: int = -1) -> None:
    for event in events:
        if event.sequence_number > after:
            await response.write(frame_stream_event(event))


async def _outlast(events: AsyncIterator[TrajectoryEvent | None], response: web.StreamResponse) -> None:
    """Heartbeats until the run has ended."""
    async for _ in events:
        await response.write(PING)


def _reply(response: ResponseObject) -> web.Response:
    return web.Response(body=_encode(response), content_type="application/json")


def _encode(response: ResponseObject) -> bytes:
    return response.model_dump_json(by_alias=True).encode()
