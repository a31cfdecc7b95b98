"""Finished runs as they are stored: a line for lists, the whole record, and the events.

Written by `hosting.py` when a run ends, read by `run_catalog.py`. The index has the status in an object's name, so that
a list is one look at names and a read of what the page shows.

    run-index/OWNER/ID/STATUS    RunSummary as JSON; written last, so that what is found is whole
    runs/OWNER/ID/detail         RunDetail, gzip
    runs/OWNER/ID/events         the trajectory, gzip members of JSON lines
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from runtime.inference.run_record import RunDetail, RunStatus, RunSummary
from runtime.inference.storage import Storage

_INDEX: Final = "run-index"
_RUNS: Final = "runs"


@dataclass(frozen=True)
class ArchivedRun:
    """A run as its place in the index tells it."""

    id: str
    owner: str
    status: RunStatus
    path: str  # of its summary


class RunArchive:
    """Every method raises StorageUnavailableError when the store cannot be asked."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def new_id(self) -> str:
        return self._storage.new_id()

    @property
    def token(self) -> str:
        return self._storage.token

    async def save(self, detail: RunDetail, events: bytes) -> None:
        content = await asyncio.to_thread(lambda: gzip.compress(detail.model_dump_json().encode()))
        await self._storage.put(_path(detail.key_name, detail.id, "events"), events)
        await self._storage.put(_path(detail.key_name, detail.id, "detail"), content)
        index = f"{_INDEX}/{_name(detail.key_name)}/{detail.id}/{detail.status}"
        await self._storage.put(index, detail.summary().model_dump_json().encode())

    async def runs(self, owner: str | None) -> list[ArchivedRun]:
        """Newest first; `owner` None: of all keys."""
        folder = _INDEX if owner is None else f"{_INDEX}/{_name(owner)}"
        found = (_parse(entry.path) for entry in await self._storage.entries(folder))
        return sorted(found, key=lambda run: run.id, reverse=True)

    async def find(self, owner: str | None, run_id: str) -> ArchivedRun | None:
        """`run_id` is a well-formed id."""
        owners = [_name(owner)] if owner is not None else await self._storage.subfolders(_INDEX)
        for name in owners:
            for entry in await self._storage.entries(f"{_INDEX}/{name}/{run_id}"):
                return _parse(entry.path)
        return None

    async def summary(self, run: ArchivedRun) -> RunSummary | None:
        """None: it was deleted meanwhile."""
        content = await self._storage.get(run.path)
        return None if content is None else RunSummary.model_validate_json(content)

    async def detail(self, run: ArchivedRun) -> RunDetail | None:
        content = await self._storage.get(_path(run.owner, run.id, "detail"))
        if content is None:
            return None
        return RunDetail.model_validate_json(await asyncio.to_thread(gzip.decompress, content))

    async def events(self, run: ArchivedRun) -> bytes | None:
        """For `event_log.read_compressed`."""
        return await self._storage.get(_path(run.owner, run.id, "events"))


def _parse(path: str) -> ArchivedRun:
    _, owner, run_id, status = path.split("/")
    return ArchivedRun(run_id, unquote(owner), RunStatus(status), path)


def _path(owner: str, run_id: str, part: str) -> str:
    return f"{_RUNS}/{_name(owner)}/{run_id}/{part}"


def _name(owner: str) -> str:
    return quote(owner, safe="")
