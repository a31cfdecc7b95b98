"""pydantic-monty: an interpreter of its own for a part of Python, in a pool of worker processes."""

from __future__ import annotations

import contextlib
import time
from importlib.metadata import version
from itertools import pairwise

from pydantic_monty import CollectString, Monty, MontyError, MontyRuntimeError, MontySession

from benchmarks.peers.peer import About, Peer, Session

MOST_SESSIONS = 1000
DEADLINE = 0.05  # of the session that hangs; limits are given when a session is made


class MontyWorker(Session):
    def __init__(self, pool: Monty, deadline: float | None = None) -> None:
        self._pool = pool
        self._lent = pool.checkout(limits=None if deadline is None else {"max_feed_duration_secs": deadline})
        self._session: MontySession = self._lent.__enter__()

    def run(self, code: str) -> str:
        printed = CollectString()
        self._session.feed_run(code, print_callback=printed)
        return str(printed.output)

    def calls(self, count: int) -> list[float]:
        times: list[float] = []

        def ask(payload: str) -> str:
            times.append(time.perf_counter())
            return payload

        self._session.feed_run(f"for _ in range({count}): ask('p')", external_lookup={"ask": ask})
        return [(later - earlier) * 1e3 for earlier, later in pairwise(times)]

    def put(self, name: str, text: str) -> None:
        self._session.feed_run("None", inputs={name: text})

    def get(self, name: str) -> str:
        return str(self._session.feed_run(name))

    def hang(self, seconds: float) -> None:  # noqa: ARG002  # the deadline is the session's
        with contextlib.suppress(MontyRuntimeError):
            self._session.feed_run("while True: pass")

    def close(self) -> None:
        with contextlib.suppress(MontyError):
            self._lent.__exit__(None, None, None)


class MontyPeer(Peer):
    name = "pydantic-monty"
    most_sessions = MOST_SESSIONS

    def __init__(self) -> None:
        self._pool = Monty(min_processes=8, max_processes=MOST_SESSIONS)
        self._pool.__enter__()

    def about(self) -> About:
        return About(
            version=version("pydantic-monty"),
            reached="a pipe",
            isolation="an interpreter in Rust, in a process of its own without a fence",
            lacks=("most of the standard library", "generators", "numpy and pandas", "HTTP"),
            python="a part of 3.14's language",
        )

    def new_session(self) -> Session:
        return MontyWorker(self._pool)

    def bare_session(self) -> Session:
        return MontyWorker(self._pool, DEADLINE)

    def close(self) -> None:
        self._pool.__exit__(None, None, None)
