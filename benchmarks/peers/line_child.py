"""A child process that takes cells as lines of JSON on its standard input and answers on its standard output.

The protocol of `python_child.py` and `pyodide_child.mjs`, which both run cells without a deadline of their own:

    {"run": code}          -> {"out": printed} | {"error": text}, with {"call": payload} <- {"answer": text} between
    {"put": [name, text]}  -> {"out": ""}
    {"get": name}          -> {"value": text}
"""

from __future__ import annotations

import json
import select
import subprocess
import time
from typing import Any

from benchmarks.peers.peer import Session


class LineChild(Session):
    """Ended by SIGKILL: a deadline costs the state, and the next session is a new process."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20)

    def run(self, code: str) -> str:
        return str(self._finished(self._exchange({"run": code})))

    def calls(self, count: int) -> list[float]:
        reply = self._exchange({"run": f"for _ in range({count}): ask('p')"})
        times = []
        while "call" in reply:
            started = time.perf_counter()
            reply = self._exchange({"answer": "r"})
            times.append((time.perf_counter() - started) * 1e3)
        self._finished(reply)
        return times

    def put(self, name: str, text: str) -> None:
        self._finished(self._exchange({"put": [name, text]}))

    def get(self, name: str) -> str:
        return str(self._exchange({"get": name})["value"])

    def hang(self, seconds: float) -> None:
        self._send({"run": "while True: pass"})
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        assert not readable, "an endless loop ended"
        self._process.kill()
        self._process.wait()

    def recovered(self) -> Session:
        self.close()
        return LineChild(self._command)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _finished(self, reply: dict[str, Any]) -> str:
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return str(reply["out"])

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        self._send(request)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._command[0]} ended with status {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
