"""The sandbox service as a measured system: each call is a request over HTTP, one kept-alive connection per thread."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.figures import Figure
from benchmarks.own import measure_own
from benchmarks.peers.peer import About, Peer, Session
from benchmarks.plan import Plan
from benchmarks.server import running_sandbox

SETTLE_SECONDS: Final = 3.0  # for spares to be refilled and idle sessions to come to rest
MOST_SESSIONS: Final = 1200
OUR_CLIENTS_POLICY: Final = "idle"


class Connection:
    """Requests of one thread."""

    def __init__(self, address: str) -> None:
        self._http = http.client.HTTPConnection(address)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        self._http.request(method, path, body, {"Content-Type": kind})
        response = self._http.getresponse()
        reply = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {reply[:300].decode()}")
        return reply


class HttpSession(Session):
    """`policy` None: a bare session, made by its first cell. Others are made at once."""

    def __init__(self, service: SandboxService, session_id: str, policy: str | None) -> None:
        self._service = service
        self._id = session_id
        if policy is not None:
            self._post("/sessions", {"session_id": session_id, "checkpoint": policy, "host_functions": ["ask"]})

    def run(self, code: str) -> str:
        return str(self._cell(code)["stdout"])

    def _cell(self, code: str, timeout: float | None = None) -> dict[str, Any]:
        body = {"code": code, "session_id": self._id, **({} if timeout is None else {"timeout": timeout})}
        reply = self._post("/execute", body)
        if reply["status"] not in ("ok", "suspended") and timeout is None:
            raise RuntimeError(f"{reply['status']}: {reply['error']}")
        return reply

    def calls(self, count: int) -> list[float]:
        reply = self._cell(f"for _ in range({count}): ask('p')")
        times = []
        while reply["status"] == "suspended":
            body = {"call_id": reply["call"]["id"], "result": "r"}
            started = time.perf_counter()
            reply = self._post(f"/sessions/{self._id}/resume", body)
            times.append((time.perf_counter() - started) * 1e3)
        return times

    def put(self, name: str, text: str) -> None:
        self._service.connection().ask("PUT", self._variable(name), text.encode(), "text/plain")

    def get(self, name: str) -> str:
        return self._service.connection().ask("GET", self._variable(name)).decode()

    def _variable(self, name: str) -> str:
        return f"/sessions/{self._id}/variables/{name}"

    def hang(self, seconds: float) -> None:
        reply = self._cell("while True: pass", seconds)
        assert reply["status"] == "timeout", reply
        assert reply["rolled_back"], reply

    def close(self) -> None:
        self._service.connection().ask("DELETE", f"/sessions/{self._id}")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._service.connection().ask("POST", path, json.dumps(body).encode()))
        return reply


class SandboxService(Peer):
    """`image` as in the settings; `spares` 0 for what a session costs when none waits ready."""

    most_sessions = MOST_SESSIONS

    def __init__(self, image: str, spares: int = 8) -> None:
        self.name = "ours" if image == "stdlib" else f"ours, {image}"
        self.image = image
        self.has_packages = image == "scientific"
        self.policy: str | None = OUR_CLIENTS_POLICY
        self._stack = ExitStack()
        settings = {"image": image, "spares": spares, "max_sessions": MOST_SESSIONS, "max_queue": MOST_SESSIONS}
        self.url, self.pid = self._stack.enter_context(running_sandbox(**settings))
        self._address = urlsplit(self.url).netloc
        self._of_thread = threading.local()
        self._numbers = itertools.count()

    def connection(self) -> Connection:
        found: Connection | None = getattr(self._of_thread, "connection", None)
        if found is None:
            found = self._of_thread.connection = Connection(self._address)
        return found

    def about(self) -> About:
        session = self.new_session()
        python = session.run("import sys; print(sys.version.split()[0])").strip()
        session.close()
        return About(
            version=f"{version('rlm-operator')}, wasmtime {version('wasmtime')}",
            reached="HTTP",
            isolation="WebAssembly in a process of its own with seccomp, Landlock, rlimits and its own uid",
            python=python,
        )

    def new_session(self) -> Session:
        return HttpSession(self, f"bench-{next(self._numbers)}", self.policy)

    def bare_session(self) -> Session:
        """Made by its first cell."""
        return HttpSession(self, f"bench-{next(self._numbers)}", None)

    def own_figures(self, plan: Plan) -> dict[str, Figure]:
        return measure_own(plan, self)

    def processes(self) -> list[int]:
        return [self.pid]

    def settle(self) -> None:
        time.sleep(SETTLE_SECONDS)

    def close(self) -> None:
        self._stack.close()
