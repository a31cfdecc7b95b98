"""The inference service with a sandbox of its own as a measured system: questions over HTTP, as a client asks them."""

from __future__ import annotations

import itertools
import json
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.model_control import MODEL
from benchmarks.ours import Connection
from benchmarks.peers.runner import About, Repl, Runner
from benchmarks.server import running_inference, running_sandbox

MOST_SESSIONS: Final = 500
MAX_CONCURRENCY: Final = 64  # the default
SETTINGS: Final = {"max_iterations": 1000, "max_subcalls": 10_000, "max_concurrency": MAX_CONCURRENCY}


class SandboxRepl(Repl):
    """A session of the sandbox, as the loop uses it."""

    def __init__(self, connection: Connection, session_id: str, context: str) -> None:
        self._connection = connection
        self._path = f"/sessions/{session_id}"
        self._id = session_id
        self._post("/sessions", {"session_id": session_id, "checkpoint": "idle"})
        connection.ask("PUT", f"{self._path}/variables/context", context.encode(), "text/plain")

    def run(self, code: str) -> str:
        return str(self._post("/execute", {"code": code, "session_id": self._id, "locals": "none"})["stdout"])

    def close(self) -> None:
        self._connection.ask("DELETE", self._path)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._connection.ask("POST", path, json.dumps(body).encode()))
        return reply


class Ours(Runner):
    name = "ours"
    batch_cap = MAX_CONCURRENCY // 2  # a run's share of it

    def __init__(self, model_url: str) -> None:
        self._stack = ExitStack()
        sandbox = running_sandbox(spares=8, max_sessions=MOST_SESSIONS, max_queue=MOST_SESSIONS)
        self.sandbox_url, self.sandbox_pid = self._stack.enter_context(sandbox)
        inference = self._stack.enter_context(running_inference(self.sandbox_url, model_url, **SETTINGS))
        self.url, self.pid = inference.url, inference.pid
        self._connection = Connection(urlsplit(self.url).netloc)
        self._to_sandbox = Connection(urlsplit(self.sandbox_url).netloc)
        self._numbers = itertools.count()

    def about(self) -> About:
        return About(
            version=f"{version('rlm-operator')}, wasmtime {version('wasmtime')}",
            reached="HTTP, cells in a sandbox service reached over HTTP",
        )

    def open_repl(self, context: str) -> Repl:
        return SandboxRepl(self._to_sandbox, f"bench-{next(self._numbers)}", context)

    def ask(self, context: str) -> str:
        parts = [part for part in (context, "What is there?") if part]
        messages = [{"role": "user", "content": [{"type": "text", "text": part} for part in parts]}]
        reply = self.post("/v1/chat/completions", {"model": MODEL, "messages": messages})
        return str(reply["choices"][0]["message"]["content"])

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._connection.ask("POST", path, json.dumps(body).encode()))
        return reply

    def upload(self, text: str) -> str:
        """The file's id."""
        head = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b\r\n'
        head += b'Content-Disposition: form-data; name="file"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\n'
        body = head + text.encode() + b"\r\n--b--\r\n"
        reply = self._connection.ask("POST", "/v1/files", body, "multipart/form-data; boundary=b")
        return str(json.loads(reply)["id"])

    def close(self) -> None:
        self._stack.close()
