"""All runs that a caller may see: those of this process that go on and the stored ones, as if there were one kind.

Asked by the API of runs and by that of responses.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from itertools import islice
from typing import Final

from runtime.inference.cancel_notes import CancelNotes
from runtime.inference.errors import RunElsewhereError, RunNotFoundError
from runtime.inference.event_log import read_compressed
from runtime.inference.events import RunFailed, TrajectoryEvent
from runtime.inference.hosting import Hosting
from runtime.inference.list_page import ListPage
from runtime.inference.run_archive import INTERRUPTED, ArchivedRun, RunArchive
from runtime.inference.run_handle import RunHandle
from runtime.inference.run_record import RunDetail, RunStatus, RunSummary
from runtime.inference.storage import ID_LENGTH, TOKEN_LENGTH

_ID: Final = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
_TOKEN_AT: Final = 12
_BATCH: Final = 256  # events of a stored run that are in memory at a time
_LOOK_SECONDS: Final = 0.5  # between looks at a run that another process ends


class RunCatalog:
    """`owner` is the name of the key whose runs are seen; None: those of all keys."""

    def __init__(self, hosting: Hosting, archive: RunArchive, notes: CancelNotes) -> None:
        self._hosting = hosting
        self._archive = archive
        self._notes = notes

    async def page(
        self, owner: str | None, limit: int, after: str | None, status: RunStatus | None, *, is_elsewhere: bool = False
    ) -> ListPage[RunSummary]:
        """Newest first, those older than the run `after`. Raises RunNotFoundError for an `after` that is not there;
        `is_elsewhere`: it is another replica's, and marks a place in time here."""
        here = {handle.id: handle for handle in self._hosting.handles(owner)}  # first: what ends meanwhile is in both
        known: dict[str, RunHandle | ArchivedRun] = {run.id: run for run in await self._archive.runs(owner)}
        known.update(here)
        if after is not None and after not in known and not is_elsewhere:
            raise self._not_found(after, "after")
        ids = sorted((run_id for run_id in known if after is None or run_id < after), reverse=True)
        wanted = [known[run_id] for run_id in ids if status is None or known[run_id].status is status]
        summaries = await asyncio.gather(*map(self._summary, wanted[:limit]))
        shown = [summary for summary in summaries if summary is not None]
        return ListPage(data=shown, has_more=len(wanted) > limit)

    async def detail(self, owner: str | None, run_id: str) -> RunDetail:
        """Raises RunNotFoundError."""
        found = await self._find(owner, run_id)
        detail = found.record.detail() if isinstance(found, RunHandle) else await self._archive.detail(found)
        if detail is None:
            raise self._not_found(run_id)
        return detail

    async def request(self, owner: str | None, run_id: str) -> bytes | None:
        """What the endpoint that started the run keeps of the request. Raises RunNotFoundError."""
        found = await self._find(owner, run_id)
        return found.origin.request if isinstance(found, RunHandle) else await self._archive.request(found)

    async def cancel(self, owner: str | None, run_id: str) -> RunDetail:
        """Its detail, once it has ended. One that had ended before stays as it was. Raises RunElsewhereError."""
        found = await self._find(owner, run_id)
        if isinstance(found, RunHandle):
            await found.cancel()
        elif found.status is RunStatus.RUNNING:
            await self._cancel_elsewhere(owner, found)
        return await self.detail(owner, run_id)

    async def _cancel_elsewhere(self, owner: str | None, run: ArchivedRun) -> None:
        await self._notes.leave(run.process, run.id)
        deadline = time.monotonic() + self._notes.patience
        while time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            if (await self._find(owner, run.id)).status is not RunStatus.RUNNING:
                return
        raise RunElsewhereError(
            f"the run {run.id} goes on in another process of this service, which did not end it yet; ask again"
        )

    async def delete(self, owner: str | None, run_id: str) -> None:
        """Cancelled before, if it goes on. Raises RunNotFoundError, RunElsewhereError."""
        await self.cancel(owner, run_id)
        handle = self._hosting.find(owner, run_id)
        if handle is not None:
            await self._hosting.settle(handle)
        archived = await self._archive.find(owner, run_id)
        if archived is not None:
            await self._archive.delete(archived)

    async def follow(
        self, owner: str | None, run_id: str, after: int, patience: float
    ) -> AsyncIterator[TrajectoryEvent | None]:
        """Events as `EventLog.follow` gives them. Raises RunNotFoundError."""
        found = await self._find(owner, run_id)
        if isinstance(found, RunHandle):
            return found.log.follow(after, patience)
        return self._follow_archived(owner, found, after, patience)

    async def _follow_archived(
        self, owner: str | None, run: ArchivedRun, after: int, patience: float
    ) -> AsyncIterator[TrajectoryEvent | None]:
        """One that goes on in another process is waited for: its events are there when it has ended."""
        while run.status is RunStatus.RUNNING:
            await asyncio.sleep(patience)
            yield None
            found = await self._archive.find(owner, run.id)
            if found is None:
                return
            run = found
        content = await self._archive.events(run)
        if content is not None:
            left = read_compressed(content, after)
            while batch := await asyncio.to_thread(lambda: list(islice(left, _BATCH))):
                for event in batch:
                    yield event
        elif after < 0:
            yield RunFailed(run_id=run.id, seq=0, at=time.time(), error=INTERRUPTED)

    async def _find(self, owner: str | None, run_id: str) -> RunHandle | ArchivedRun:
        handle = self._hosting.find(owner, run_id)
        if handle is not None:
            return handle
        archived = await self._archive.find(owner, run_id) if _ID.fullmatch(run_id) else None
        if archived is None:
            raise self._not_found(run_id)
        return archived

    async def _summary(self, run: RunHandle | ArchivedRun) -> RunSummary | None:
        return run.record.detail().summary() if isinstance(run, RunHandle) else await self._archive.summary(run)

    def _not_found(self, run_id: str, param: str | None = None) -> RunNotFoundError:
        token = run_id[_TOKEN_AT : _TOKEN_AT + TOKEN_LENGTH]
        if _ID.fullmatch(run_id) and token != self._archive.token:
            return RunNotFoundError(
                f"the run {run_id} belongs to another process, whose storage this one does not share; ask there, or "
                "give all replicas one RLM_STORAGE_URL",
                param,
                is_elsewhere=True,
            )
        return RunNotFoundError(f"there is no run {run_id[:100]!r}; see /rlm/v1/runs", param)
