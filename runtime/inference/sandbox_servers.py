"""The servers of a sandbox pool as one client sees them: which to ask for something new, and which has a session.

`SandboxClient` owns one. A session lives in one server's memory, so it is asked of that server only. Something new
goes to the least loaded server that answers, by what the servers say of themselves in `LOAD_HEADER`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

FRESH_SECONDS: Final = 2.0  # how long a server's word about its load counts
AVOIDED_SECONDS: Final = 1.0  # after a failure; asked all the same when there is no other


@dataclass(eq=False)
class Server:
    """`in_flight` counts this client's own requests, of which the server's last word may not know yet."""

    url: str
    in_flight: int = 0
    avoided_until: float = 0.0
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

    def burden(self) -> tuple[bool, int, float]:
        """Smaller is better."""
        now = time.monotonic()
        is_fresh = now - self._said_at < FRESH_SECONDS
        cells = max(self._cells if is_fresh else 0, self.in_flight)
        return now < self.avoided_until, cells, self._fullness if is_fresh else 0.0


def split_urls(urls: str) -> list[str]:
    return [url for part in urls.split(",") if (url := part.strip().rstrip("/"))]


class Servers:
    def __init__(self, urls: str) -> None:
        """`urls`: base addresses, separated by commas."""
        self.all = tuple(Server(url) for url in dict.fromkeys(split_urls(urls)))
        self._holding: dict[str, Server] = {}
        self._one_shots: set[str] = set()

    def choose(self, tried: Container[Server] = ()) -> Server | None:
        """For something new; None when all were tried."""
        left = [server for server in self.all if server not in tried]
        random.shuffle(left)  # so that clients which know nothing yet do not all begin with the same one
        return min(left, key=Server.burden, default=None)

    def holding(self, session_id: str) -> Server | None:
        """The server that has the session, as far as this client knows. With one server there is no question."""
        return self._holding.get(session_id) or (self.all[0] if len(self.all) == 1 else None)

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
