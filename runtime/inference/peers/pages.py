"""Lists over all replicas: each gives its own page, and the pages are one.

Ids begin with the time at which they were made, so they order what several replicas made as well. Used by the lists of
files and of runs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Generic

from aiohttp import web
from pydantic import ValidationError

from runtime.inference.errors import OwnerGoneError, OwnerUnreachableError
from runtime.inference.list_page import ItemT, ListPage
from runtime.inference.peers.directory import Directory
from runtime.inference.peers.peer_http import Peer, Purpose, asker_headers, is_forwarded

MISSING: Final = "missing_replicas"
"""In a list: how many replicas did not say what they have. It is not there when none is missing."""
_LIST_TIMEOUT: Final = 10.0


@dataclass(frozen=True)
class Gathered(Generic[ItemT]):
    page: ListPage[ItemT]
    missing: int

    @property
    def note(self) -> dict[str, int]:
        """Further fields of the reply."""
        return {MISSING: self.missing} if self.missing else {}


class Pages:
    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def gather(
        self, request: web.Request, own: ListPage[ItemT], kind: type[ListPage[ItemT]], limit: int, *, newest_first: bool
    ) -> Gathered[ItemT]:
        """`own` and the others' pages of the same request, as one of at most `limit`."""
        if not self._directory.urls or is_forwarded(request):
            return Gathered(own, 0)
        siblings = await self._directory.siblings(request)
        pages = await asyncio.gather(*(self._fetch(peer, request, kind) for peer in siblings.peers))
        given = [own, *filter(None, pages)]
        items = sorted((item for page in given for item in page.data), key=lambda item: item.id, reverse=newest_first)
        has_more = len(items) > limit or any(page.has_more for page in given)
        merged = own.model_copy(update={"data": items[:limit], "has_more": has_more})
        return Gathered(merged, siblings.missing + pages.count(None))

    async def is_known(self, storage: str, request: web.Request) -> bool:
        """Whether a list may go on after an item of this storage: another replica answers for it."""
        if is_forwarded(request):
            return True
        return self._directory.is_elsewhere(storage) and await self._directory.owner(storage, request) is not None

    async def _fetch(self, peer: Peer, request: web.Request, kind: type[ListPage[ItemT]]) -> ListPage[ItemT] | None:
        """None: it did not answer. One that is gone has nothing left to list."""
        target = str(request.rel_url)
        try:
            reply = await self._directory.http.fetch(peer, Purpose.LIST, target, asker_headers(request), _LIST_TIMEOUT)
            return None if reply is None else kind.model_validate_json(reply)
        except OwnerGoneError:
            return kind(data=[], has_more=False)
        except (OwnerUnreachableError, ValidationError):
            return None
