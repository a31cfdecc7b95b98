"""The events of one run, kept in order for any number of readers, from any point, while the run goes on and after.

`hosting.py` appends, every stream follows. Memory stays small however much a run says: the last few events are objects,
all others lie compressed in blocks, and beyond SPOOL_BYTES of those in a temporary file. How many there can be is
bounded by the run's budget of calls, how large they are by the caps on what a cell or a model may say.
"""

from __future__ import annotations

import asyncio
import gzip
import weakref
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Final

from runtime.inference.events import TrajectoryEvent, parse_event

BLOCK_EVENTS: Final = 64
SPOOL_BYTES: Final = 256 * 1024
_LEVEL: Final = 1  # of compression: it happens on the event loop


@dataclass(frozen=True)
class _Block:
    """Compressed events in the file."""

    first: int  # seq of its first event
    offset: int
    size: int  # bytes


class EventLog:
    """Events have the numbers 0, 1, 2 … as their `seq`; `append` and `close` are called on the event loop."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  # lives as long as the log
        weakref.finalize(self, self._file.close)
        self._blocks: list[_Block] = []
        self._tail: list[TrajectoryEvent] = []
        self._tail_at = 0  # seq of the tail's first event
        self._news = asyncio.Event()  # set and replaced whenever there is something new
        self._closed = False

    def __len__(self) -> int:
        return self._tail_at + len(self._tail)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def last(self) -> TrajectoryEvent | None:
        return self._tail[-1] if self._tail else None

    def append(self, event: TrajectoryEvent) -> None:
        if event.seq != len(self):
            raise ValueError(f"event {event.seq} came where {len(self)} was due")
        if len(self._tail) >= BLOCK_EVENTS:
            self._seal()
        self._tail.append(event)
        self._tell()

    def close(self) -> None:
        """Nothing more will come: readers end when they have read what there is."""
        self._closed = True
        self._tell()

    async def follow(self, after: int = -1, patience: float | None = None) -> AsyncIterator[TrajectoryEvent | None]:
        """Every event with a greater `seq` than `after`, up to the end of the run; None whenever none has come for
        `patience` seconds."""
        position = max(0, after + 1)
        while True:
            news = self._news
            batch = self._read(position)
            if not batch:
                if self._closed:
                    return
                try:
                    async with asyncio.timeout(patience):
                        await news.wait()
                except TimeoutError:
                    yield None
            for event in batch:
                position = event.seq + 1
                yield event

    def compressed(self) -> bytes:
        """All events so far, as `read_compressed` takes them."""
        self._file.seek(0)
        return self._file.read() + _compress(self._tail)

    def _read(self, position: int) -> list[TrajectoryEvent]:
        """Some events from `position` on: the rest of a block, or of the tail."""
        if position >= self._tail_at:
            return self._tail[position - self._tail_at :]
        block = self._blocks[bisect_right(self._blocks, position, key=lambda each: each.first) - 1]
        self._file.seek(block.offset)
        return list(read_compressed(self._file.read(block.size), position - 1))

    def _seal(self) -> None:
        content = _compress(self._tail)
        offset = self._file.seek(0, 2)
        self._file.write(content)
        self._blocks.append(_Block(self._tail_at, offset, len(content)))
        self._tail_at += len(self._tail)
        self._tail = []

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def read_compressed(content: bytes, after: int = -1) -> Iterator[TrajectoryEvent]:
    """The events with a greater `seq` than `after`, as they are asked for: gzip members, one after the other, of JSON
    lines."""
    with gzip.open(BytesIO(content)) as lines:
        for line in lines:
            event = parse_event(line)
            if event.seq > after:
                yield event


def _compress(events: list[TrajectoryEvent]) -> bytes:
    lines = "".join(event.model_dump_json() + "\n" for event in events)
    return gzip.compress(lines.encode(), _LEVEL, mtime=0)
