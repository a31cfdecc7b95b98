"""ipykernel by jupyter-client: the kernel of notebooks, a process for each session, messages over ZeroMQ."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from benchmarks.peers.peer import LONGEST_CELL, About, Peer, Session


class Kernel(Session):
    def __init__(self) -> None:
        # Sockets in a folder of its own: by default kernels that are started at once take each other's names.
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._manager = KernelManager(transport="ipc", connection_file=str(Path(self._folder.name) / "kernel.json"))
        self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=LONGEST_CELL)

    def run(self, code: str) -> str:
        return self._printed(self._client.execute(code, store_history=False))

    def _printed(self, request: str) -> str:
        printed = ""
        while True:
            message = self._client.get_iopub_msg(timeout=LONGEST_CELL)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                self._reply(request)
                raise RuntimeError(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                self._reply(request)
                return printed

    def _reply(self, request: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = self._client.get_shell_msg(timeout=LONGEST_CELL)
            if message["parent_header"].get("msg_id") == request:
                return message

    def calls(self, count: int) -> list[float]:
        """A question to the host is `input()`."""
        request = self._client.execute(f"for _ in range({count}): input('p')", store_history=False, allow_stdin=True)
        times = []
        self._client.get_stdin_msg(timeout=LONGEST_CELL)
        for _ in range(count - 1):
            started = time.perf_counter()
            self._client.input("r")
            self._client.get_stdin_msg(timeout=LONGEST_CELL)
            times.append((time.perf_counter() - started) * 1e3)
        self._client.input("r")
        self._printed(request)
        return times

    def put(self, name: str, text: str) -> None:
        """By a file: as code, 40 MB take minutes."""
        with self._file() as file:
            file.write_text(text, encoding="utf-8")
            self.run(f"with open({str(file)!r}, encoding='utf-8') as _file: {name} = _file.read()")

    def get(self, name: str) -> str:
        with self._file() as file:
            self.run(f"with open({str(file)!r}, 'w', encoding='utf-8') as _file: _ = _file.write({name})")
            return file.read_text(encoding="utf-8")

    @contextmanager
    def _file(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            yield Path(folder) / "variable"

    def hang(self, seconds: float) -> None:
        request = self._client.execute("while True: pass", store_history=False)
        time.sleep(seconds)
        self._manager.interrupt_kernel()
        try:
            self._printed(request)
        except RuntimeError:
            return
        raise AssertionError("an endless loop ended")

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._folder.cleanup()


class IpykernelPeer(Peer):
    name = "ipykernel"
    most_sessions = 8

    def __init__(self) -> None:
        self.has_packages = all(map(importlib.util.find_spec, ("numpy", "pandas")))

    def about(self) -> About:
        return About(
            version=version("ipykernel"),
            reached="ZeroMQ",
            isolation="none",
            lacks=("isolation", "limits", "an end of cells that catch KeyboardInterrupt", "HTTP"),
        )

    def new_session(self) -> Session:
        return Kernel()
