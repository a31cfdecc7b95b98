"""Runs as they are stored: a line for lists, the whole record, and the events.

Written by `run_keeper.py` when a run begins and when it ends, read by `run_catalog.py`. The index has the status in an
object's name, so that a list is one look at names and a read of what the page shows.

    run-index/OWNER/ID/running.PROCESS   RunSummary as JSON, while the run goes on in that process
    run-index/OWNER/ID/STATUS            the same at the end; written last, so that what is found is whole
    runs/OWNER/ID/detail                 RunDetail, gzip
    runs/OWNER/ID/request                what its endpoint keeps of the request, if anything
    runs/OWNER/ID/events                 the trajectory, gzip members of JSON lines
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final, TypeVar
from urllib.parse import quote, unquote

from runtime.inference.events import RunError
from runtime.inference.presence import Presence
from runtime.inference.run_record import RunDetail, RunStatus, RunSummary
from runtime.inference.storage import Storage, StoredObject

INTERRUPTED: Final = RunError(
    code="interrupted", message="the process that ran it ended before the run did; what it had found is lost, ask again"
)
_INDEX: Final = "run-index"
_RUNS: Final = "runs"
_PRUNE_SHARE: Final = 16  # the size is looked at whenever a 16th of what may be kept was added

RecordT = TypeVar("RecordT", bound=RunSummary)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArchivedRun:
    """A run as its place in the index tells it."""

    id: str
    owner: str
    status: RunStatus
    path: str  # of its summary
    is_interrupted: bool = False
    process: str = ""  # where it goes on; empty: it has ended


@dataclass(frozen=True)
class _IndexName:
    path: str
    owner: str
    run_id: str
    status: RunStatus
    process: str

    @classmethod
    def parse(cls, path: str) -> _IndexName:
        _, owner, run_id, state = path.split("/")
        status, _, process = state.partition(".")
        return cls(path, unquote(owner), run_id, RunStatus(status), process)


class RunArchive:
    """At most about `max_bytes` of runs are kept; then the oldest go. Every method raises StorageUnavailableError when
    the store cannot be asked."""

    def __init__(self, storage: Storage, presence: Presence, max_bytes: int) -> None:
        self._storage = storage
        self._presence = presence
        self._max_bytes = max_bytes
        self._added = max_bytes  # since the size was looked at: the first run that is stored has it looked at

    def new_id(self) -> str:
        return self._storage.new_id()

    @property
    def token(self) -> str:
        return self._storage.token

    async def begin(self, detail: RunDetail, request: bytes | None) -> None:
        """Make known that a run goes on here, and keep what its endpoint needs to tell of it."""
        if request is not None:
            await self._storage.put(_path(detail.key_name, detail.id, "request"), request)
        await self._put_detail(detail)
        await self._storage.put(self._running_path(detail), detail.summary().model_dump_json().encode())

    async def save(self, detail: RunDetail, events: bytes) -> None:
        """Store a run that has ended."""
        await self._storage.put(_path(detail.key_name, detail.id, "events"), events)
        size = await self._put_detail(detail)
        await self._storage.put(_index(detail, detail.status), detail.summary().model_dump_json().encode())
        await self._storage.delete(self._running_path(detail))
        self._added += len(events) + size
        if self._added > self._max_bytes // _PRUNE_SHARE:
            self._added = 0
            await self.prune()

    async def runs(self, owner: str | None) -> list[ArchivedRun]:
        """Newest first; `owner` None: of all keys."""
        folder = _INDEX if owner is None else f"{_INDEX}/{_name(owner)}"
        found = await self._read_index(await self._storage.entries(folder))
        return sorted(found, key=attrgetter("id"), reverse=True)

    async def find(self, owner: str | None, run_id: str) -> ArchivedRun | None:
        """`run_id` is a well-formed id."""
        owners = [_name(owner)] if owner is not None else await self._storage.subfolders(_INDEX)
        for name in owners:
            for run in await self._read_index(await self._storage.entries(f"{_INDEX}/{name}/{run_id}")):
                return run
        return None

    async def summary(self, run: ArchivedRun) -> RunSummary | None:
        """None: it was deleted meanwhile, or has just ended."""
        content = await self._storage.get(run.path)
        return None if content is None else _told(run, RunSummary.model_validate_json(content))

    async def detail(self, run: ArchivedRun) -> RunDetail | None:
        """None: it was deleted meanwhile."""
        content = await self._storage.get(_path(run.owner, run.id, "detail"))
        if content is None:
            return None
        detail = RunDetail.model_validate_json(await asyncio.to_thread(gzip.decompress, content))
        return _told(run, detail)

    async def events(self, run: ArchivedRun) -> bytes | None:
        """For `event_log.read_compressed`. None: there are none."""
        return await self._storage.get(_path(run.owner, run.id, "events"))

    async def request(self, run: ArchivedRun) -> bytes | None:
        return await self._storage.get(_path(run.owner, run.id, "request"))

    async def delete(self, run: ArchivedRun) -> None:
        parts = await self._storage.entries(f"{_RUNS}/{_name(run.owner)}/{run.id}")
        await self._storage.delete(run.path, *(part.path for part in parts))

    async def prune(self) -> None:
        """Delete the oldest runs that have ended, as long as all together are larger than they may be."""
        parts = sorted(await self._storage.entries(_RUNS), key=_run_of)
        sizes = {run: sum(part.size for part in group) for run, group in groupby(parts, _run_of)}
        excess = sum(sizes.values()) - self._max_bytes
        if excess <= 0:
            return
        deleted = 0
        for run in reversed(await self.runs(None)):
            if excess > 0 and run.status is not RunStatus.RUNNING:
                excess -= sizes.get((run.id, _name(run.owner)), 0)
                await self.delete(run)
                deleted += 1
        log.info("deleted the oldest runs to make room", extra={"runs": deleted})

    async def _put_detail(self, detail: RunDetail) -> int:
        """How many bytes it took."""
        content = await asyncio.to_thread(lambda: gzip.compress(detail.model_dump_json().encode()))
        await self._storage.put(_path(detail.key_name, detail.id, "detail"), content)
        return len(content)

    def _running_path(self, detail: RunDetail) -> str:
        return _index(detail, f"{RunStatus.RUNNING}.{self._presence.process}")

    async def _read_index(self, entries: Iterable[StoredObject]) -> list[ArchivedRun]:
        """One for each run: how it ended counts more than that it was running a moment ago."""
        named = [_IndexName.parse(entry.path) for entry in entries]
        others = {name.process for name in named} - {"", self._presence.process}
        living = await self._presence.living() if others else frozenset({self._presence.process})
        runs: dict[str, ArchivedRun] = {}
        for name in named:
            is_running = name.status is RunStatus.RUNNING
            is_interrupted = is_running and name.process not in living
            status = RunStatus.FAILED if is_interrupted else name.status
            if not is_running or name.run_id not in runs:
                runs[name.run_id] = ArchivedRun(
                    name.run_id, name.owner, status, name.path, is_interrupted, name.process
                )
        return list(runs.values())


def _told(run: ArchivedRun, record: RecordT) -> RecordT:
    """What was written when the run began says nothing of its end."""
    if not run.is_interrupted:
        return record
    return record.model_copy(update={"status": RunStatus.FAILED, "error": INTERRUPTED})


def _run_of(part: StoredObject) -> tuple[str, str]:
    """Id and owner's name in paths, to sort by age."""
    _, owner, run_id, _ = part.path.split("/")
    return run_id, owner


def _index(detail: RunDetail, state: str) -> str:
    return f"{_INDEX}/{_name(detail.key_name)}/{detail.id}/{state}"


def _path(owner: str, run_id: str, part: str) -> str:
    return f"{_RUNS}/{_name(owner)}/{run_id}/{part}"


def _name(owner: str) -> str:
    return quote(owner, safe="")
