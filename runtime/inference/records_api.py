"""GET /rlm/v1/runs and what lies below: the list of runs, one of them, its events, its end by request.

For the trajectory viewer and for whoever started a run in the background.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from runtime.inference.errors import InvalidRequestError
from runtime.inference.events import frame_event
from runtime.inference.list_page import ListPage
from runtime.inference.ownership import visible_owner
from runtime.inference.peers.pages import Pages
from runtime.inference.queries import parse_query
from runtime.inference.replies import PING, Pace, open_stream
from runtime.inference.run_catalog import RunCatalog
from runtime.inference.run_record import RunDetail, RunStatus, RunSummary
from runtime.inference.storage import storage_of

LAST_EVENT_ID: Final = "Last-Event-ID"


class ListQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100)
    after: str | None = None  # a run: those that are older
    status: RunStatus | None = None


class EventsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int | None = Field(default=None, ge=-1)  # seq of the last event that is known


class RecordsApi:
    """`admins` are names of keys that see all runs, the others see their own."""

    def __init__(self, catalog: RunCatalog, pages: Pages, admins: frozenset[str], pace: Pace) -> None:
        self._catalog = catalog
        self._pages = pages
        self._admins = admins
        self._pace = pace

    async def get_runs(self, request: web.Request) -> web.Response:
        query = parse_query(request, ListQuery)
        storage = storage_of(query.after or "")
        is_elsewhere = storage is not None and await self._pages.is_known(storage, request)
        own = await self._catalog.page(
            self._owner(request), query.limit, query.after, query.status, is_elsewhere=is_elsewhere
        )
        gathered = await self._pages.gather(request, own, ListPage[RunSummary], query.limit, newest_first=True)
        return web.json_response({"object": "list", **gathered.page.model_dump(mode="json"), **gathered.note})

    async def get_run(self, request: web.Request) -> web.Response:
        return build_reply(await self._catalog.detail(self._owner(request), request.match_info["id"]))

    async def get_events(self, request: web.Request) -> web.StreamResponse:
        """All of them, or those after `?after=` or the Last-Event-ID; then what comes, up to the end of the run."""
        after = parse_query(request, EventsQuery).after
        after = _last_event_id(request) if after is None else after
        run_id = request.match_info["id"]
        events = await self._catalog.follow(self._owner(request), run_id, after, self._pace.heartbeat)
        async with open_stream(request) as response:
            async for event in events:
                await response.write(PING if event is None else frame_event(event))
        return response

    async def post_cancel(self, request: web.Request) -> web.Response:
        return build_reply(await self._catalog.cancel(self._owner(request), request.match_info["id"]))

    def _owner(self, request: web.Request) -> str | None:
        return visible_owner(request, self._admins)


def build_reply(detail: RunDetail, status: int = 200) -> web.Response:
    return web.Response(status=status, text=detail.model_dump_json(), content_type="application/json")


def _last_event_id(request: web.Request) -> int:
    """-1 without the header: everything is wanted."""
    given = request.headers.get(LAST_EVENT_ID, "-1")
    try:
        return max(-1, int(given))
    except ValueError as error:
        raise InvalidRequestError(f"{LAST_EVENT_ID} is {given[:100]!r}; send the `id` of an event", "after") from error
