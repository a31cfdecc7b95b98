"""The servers of a sandbox pool as one client sees them: which to ask for something new, and which has a session.

`SandboxClient` owns one. A session lives in one server's memory, so it is asked of that server only. Something new
goes to the least loaded server that answers, by what the servers say of themselves in `LOAD_HEADER`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from runtime.inference.breaker import Breaker, BreakerState

FRESH_SECONDS: Final = 2.0  # how long a server's word about its load counts
AVOIDED_SECONDS: Final = 1.0  # after it was busy; asked all the same when there is no other


@dataclass(eq=False)
class Server:
    """`in_flight` counts this client's own requests, of which the server's last word may not know yet. `found_by` is
    the base address whose name stands for it, for TLS and the Host header; None where that is `url` itself."""

    url: str
    found_by: str | None = None
    in_flight: int = 0
    avoided_until: float = 0.0
    breaker: Breaker = field(default_factory=Breaker)
    _said_at: float = float("-inf")
    _cells: int = 0
    _fullness: float = 0.0

    def note_load(self, header: str | None) -> None:
        """Take the value of the load header; one that is absent or broken says nothing."""
        try:
            said = {name: int(value) for name, _, value in (part.partition("=") for part in (header or "").split(";"))}
            cells, fullness = said["running"] + said["queued"], said["sessions"] / max(1, said["capacity"])
        except (KeyError, ValueError):
            return
        self._said_at, self._cells, self._fullness = time.monotonic(), cells, fullness

    @contextmanager
    def asked(self) -> Iterator[None]:
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def avoid(self) -> None:
        self.avoided_until = time.monotonic() + AVOIDED_SECONDS

    @property
    def may_be_tried(self) -> bool:
        """Not while its breaker is open; one request at a time while it is half open."""
        state = self.breaker.state
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not self.in_flight)

    def burden(self) -> tuple[int, int, float]:
        """Smaller is better."""
        now = time.monotonic()
        is_fresh = now - self._said_at < FRESH_SECONDS
        cells = max(self._cells if is_fresh else 0, self.in_flight)
        return self._doubt(now), cells, self._fullness if is_fresh else 0.0

    def _doubt(self, now: float) -> int:
        """What is doubtful is asked all the same when there is nothing better: no answer is worse than a late one."""
        match self.breaker.state:
            case BreakerState.OPEN:
                return 2
            case BreakerState.HALF_OPEN if self.in_flight or not self.breaker.is_overdue:
                return 1
            case _:
                return 1 if now < self.avoided_until else 0


def split_urls(urls: str) -> list[str]:
    return [url for part in urls.split(",") if (url := part.strip().rstrip("/"))]


class Servers:
    def __init__(self, urls: str) -> None:
        """`urls`: base addresses, separated by commas. Each is one server until `follow` says what its name stands
        for."""
        self.urls = tuple(dict.fromkeys(split_urls(urls)))
        self._found: dict[str, tuple[Server, ...]] = {url: (Server(url),) for url in self.urls}
        self._holding: dict[str, Server] = {}
        self._one_shots: set[str] = set()

    @property
    def all(self) -> tuple[Server, ...]:
        """Those that something new may go to."""
        return tuple(server for found in self._found.values() for server in found)

    def follow(self, url: str, addresses: list[str]) -> bool:
        """The name in `url` stands for these base addresses now; whether that is new. Servers that are gone are asked
        for nothing new, but for the sessions that they hold. A name without addresses is asked as it is, which says
        what is wrong with it."""
        known = {server.url: server for server in self._found[url]}
        wanted = dict.fromkeys(addresses or [url])
        if known.keys() == wanted.keys():
            return False
        self._found[url] = tuple(
            known.get(address) or Server(address, None if address == url else url) for address in wanted
        )
        return True

    def choose(self, tried: Container[Server] = ()) -> Server | None:
        """For something new; None when all were tried."""
        left = [server for server in self.all if server not in tried]
        random.shuffle(left)  # so that clients which know nothing yet do not all begin with the same one
        return min(left, key=Server.burden, default=None)

    def count(self, state: BreakerState) -> int:
        return sum(server.breaker.state is state for server in self.all)

    def holding(self, session_id: str) -> Server | None:
        """The server that has the session, as far as this client knows. With one server there is no question."""
        every = self.all
        return self._holding.get(session_id) or (every[0] if len(every) == 1 else None)

    def hold(self, session_id: str, server: Server, *, one_shot: bool = False) -> None:
        """`one_shot`: the session is a suspended one-shot cell, which nobody deletes."""
        self._holding[session_id] = server
        if one_shot:
            self._one_shots.add(session_id)

    def forget(self, session_id: str) -> None:
        self._holding.pop(session_id, None)
        self._one_shots.discard(session_id)

    def forget_one_shot(self, session_id: str) -> None:
        """Its cell has ended."""
        if session_id in self._one_shots:
            self.forget(session_id)
