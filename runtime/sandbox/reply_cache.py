"""Replies to one-shot requests that their callers declared `cacheable`: the same again is answered without running it.

A request is the same if caller, image, limits, timeout, kind of locals and every character of its code are. That code
that reads a clock or random numbers would have answered otherwise is the choice of whoever says `cacheable`. Only what
the code itself ended (`ok`, `error`) is kept: a timeout or a kill says more about the moment than about the code.

Each caller has replies of its own and learns nothing of another's, not even by what is evicted: when all is full, the
caller with most of it gives up the reply that it used longest ago. Asked by `service`.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from runtime.sandbox.dialogue import SessionOptions
from runtime.sandbox.turn import Batch
from runtime.wire import CellReply, Status, Timing

MAX_ENTRIES: Final = 10_000
LARGEST_SHARE: Final = 8  # one reply takes at most this part of the cache
ENTRY_BYTES: Final = 300  # reckoned for an entry besides its reply
CACHED: Final = frozenset({Status.OK, Status.ERROR})


@dataclass
class _Shelf:
    """The replies of one caller as JSON, the one used longest ago first."""

    replies: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    size: int = 0

    def pop(self, key: bytes) -> None:
        self.size -= ENTRY_BYTES + len(self.replies.pop(key))

    def add(self, key: bytes, reply: bytes) -> None:
        self.replies[key] = reply
        self.size += ENTRY_BYTES + len(reply)


class ReplyCache:
    """`max_bytes` 0 keeps nothing."""

    def __init__(self, image: str, max_bytes: int, max_entries: int = MAX_ENTRIES) -> None:
        self._image = image
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._shelves: dict[str, _Shelf] = {}

    @property
    def size(self) -> int:
        return sum(shelf.size for shelf in self._shelves.values())

    def __len__(self) -> int:
        return sum(len(shelf.replies) for shelf in self._shelves.values())

    def find(self, owner: str, batch: Batch, options: SessionOptions) -> CellReply | None:
        """The reply to the same request: `cached`, with the times of the run that made it and no `timing`."""
        shelf, key = self._shelves.get(owner), self._key(batch, options)
        if shelf is None or key not in shelf.replies:
            return None
        shelf.replies.move_to_end(key)
        return CellReply.model_validate_json(shelf.replies[key])

    def keep(self, owner: str, batch: Batch, options: SessionOptions, reply: CellReply) -> None:
        """Keep the reply if its kind and size are such that it may be."""
        if reply.status not in CACHED:
            return
        kept = _as_cached(reply).model_dump_json().encode()
        if ENTRY_BYTES + len(kept) > self._max_bytes // LARGEST_SHARE:
            return
        shelf, key = self._shelves.setdefault(owner, _Shelf()), self._key(batch, options)
        if key in shelf.replies:
            shelf.pop(key)
        shelf.add(key, kept)
        while self.size > self._max_bytes:
            self._evict(lambda shelf: shelf.size)
        while len(self) > self._max_entries:
            self._evict(lambda shelf: len(shelf.replies))

    def _evict(self, held: Callable[[_Shelf], int]) -> None:
        fullest = max(self._shelves.values(), key=held)
        fullest.pop(next(iter(fullest.replies)))

    def _key(self, batch: Batch, options: SessionOptions) -> bytes:
        limits = (options.memory_bytes, options.output_bytes, batch.seconds)
        request = (self._image, limits, batch.locals.value, batch.many, batch.codes)
        return hashlib.sha256(json.dumps(request).encode()).digest()


def _as_cached(reply: CellReply) -> CellReply:
    results = None if reply.results is None else [_as_cached(result) for result in reply.results]
    return reply.model_copy(update={"cached": True, "created": False, "timing": Timing(), "results": results})
