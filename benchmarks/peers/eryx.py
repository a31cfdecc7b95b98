"""pyeryx: CPython 3.14 as a WebAssembly component, in the process of its user."""

from __future__ import annotations

import contextlib
import time
from importlib.metadata import version
from itertools import pairwise

import eryx

from benchmarks.peers.peer import LONGEST_CELL, About, Peer, Session

LONGEST_MS = int(LONGEST_CELL * 1000)


class EryxSession(Session):
    def __init__(self, times: list[float] | None = None) -> None:
        self._asked = [] if times is None else times
        callback = {"name": "ask", "fn": self._answer, "description": "asks the host"}
        self._session = eryx.Session(
            callbacks=[] if times is None else [callback], execution_timeout_ms=LONGEST_MS, result_variable="result"
        )

    def run(self, code: str) -> str:
        return str(self._session.execute(code).stdout_text)

    def calls(self, count: int) -> list[float]:
        """Callbacks are fixed when a session is made, so another one is used. At most 1,000 of them per cell."""
        times: list[float] = []
        EryxSession(times).run(f"for _ in range({min(count, 1000)}): await ask(payload='p')")
        return [(later - earlier) * 1e3 for earlier, later in pairwise(times)]

    def _answer(self, payload: str) -> dict[str, str]:
        self._asked.append(time.perf_counter())
        return {"answer": payload}

    def put(self, name: str, text: str) -> None:
        """There is no door for data but the code."""
        self._session.execute(f"{name} = {text!r}")

    def get(self, name: str) -> str:
        return str(self._session.execute(f"result = {name}").result)

    def hang(self, seconds: float) -> None:
        self._session.execution_timeout_ms = int(seconds * 1000)
        with contextlib.suppress(eryx.TimeoutError):
            self._session.execute("while True: pass")
        self._session.execution_timeout_ms = LONGEST_MS

    def recovered(self) -> Session:
        """After a timeout the session answers with traps until it is reset, which empties it."""
        self._session.reset()
        return self

    def close(self) -> None:
        del self._session


class EryxPeer(Peer):
    name = "pyeryx"
    most_sessions = 900  # it makes at most 1,000 in a process, and gives one back only when its memory is collected

    def about(self) -> About:
        return About(
            version=version("pyeryx"),
            reached="a call in the same process",
            isolation="WebAssembly, in the process of its user",
            lacks=("a process boundary", "state after a timeout", "numpy and pandas in the package", "HTTP"),
            python=EryxSession().run("import sys; print(sys.version.split()[0])").strip(),
        )

    def new_session(self) -> Session:
        return EryxSession()
