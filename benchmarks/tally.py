"""Counts what a load was answered: statuses, latencies by kind, wrong replies, and the longest queue that was seen."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final

import aiohttp

from runtime.wire import LOAD_HEADER

MOST_EXAMPLES: Final = 20


@dataclass(frozen=True)
class Answer:
    """`status` 0: there was none."""

    status: int
    body: bytes = b""
    retry_after: float = 0.5


@dataclass
class Tally:
    """One for all clients of a load; everything happens in one thread."""

    statuses: Counter[str] = field(default_factory=Counter)
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    longest_queue: int = 0
    most_running: int = 0
    without_retry_after: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    async def ask(
        self,
        http: aiohttp.ClientSession,
        kind: str,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str,
    ) -> Answer:
        started = time.perf_counter()
        try:
            async with http.request(method, path, data=body, headers={"Content-Type": content_type}) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.statuses["none"] += 1
            self.note(f"{kind}: {type(error).__name__} {error}")
            return Answer(0)
        self.statuses[str(response.status)] += 1
        self.milliseconds[kind].append((time.perf_counter() - started) * 1e3)
        self._read_load(response.headers.get(LOAD_HEADER, ""))
        retry_after = response.headers.get("Retry-After")
        if response.status in (429, 503) and retry_after is None:
            self.without_retry_after += 1
        if response.status >= 300 and response.status not in (409, 429):
            self.note(f"{kind}: {response.status} {raw[:200].decode(errors='replace')}")
        return Answer(response.status, raw, float(retry_after or 0.5))

    def check(self, kind: str, holds: bool, seen: str) -> None:
        if not holds:
            self.wrong += 1
            self.note(f"{kind}: wrong reply: {seen}")

    def note(self, what: str) -> None:
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(what)

    def latencies(self) -> dict[str, dict[str, float]]:
        """Milliseconds by kind of request, all of them together under "all"."""
        kinds = {**self.milliseconds, "all": [one for many in self.milliseconds.values() for one in many]}
        return {kind: _percentiles(times) for kind, times in kinds.items() if times}

    def _read_load(self, header: str) -> None:
        """`running=2;queued=0;…`; absent on a request that was refused by its key."""
        load = {name: int(value) for name, _, value in (part.partition("=") for part in header.split(";")) if value}
        self.longest_queue = max(self.longest_queue, load.get("queued", 0))
        self.most_running = max(self.most_running, load.get("running", 0))


def _percentiles(times: list[float]) -> dict[str, float]:
    if len(times) == 1:
        times = times * 2
    cuts = quantiles(times, n=100, method="inclusive")
    return {"n": len(times), "p50": cuts[49], "p99": cuts[98], "max": max(times)}
