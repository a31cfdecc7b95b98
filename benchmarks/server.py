"""A sandbox service of its own for a benchmark: a real process on a free loopback port, ended afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

START_SECONDS: Final = 300.0  # a first start compiles the guest


class SandboxProcess:
    """`settings` are SANDBOX_ variables in lower case. The address stays the same when it is started again."""

    def __init__(self, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {f"SANDBOX_{name.upper()}": str(value) for name, value in settings.items()}
        fixed = {"SANDBOX_AUTH_MODE": "Disabled", "SANDBOX_PORT": str(self.port), "LOG_LEVEL": "WARNING"}
        self._env = {**os.environ, **fixed, **given}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Returns when it is ready."""
        self._process = subprocess.Popen([sys.executable, "-m", "runtime.sandbox"], env=self._env)
        end = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"the sandbox ended with status {self._process.returncode}")
            if time.monotonic() > end:
                raise RuntimeError(f"the sandbox was not ready within {START_SECONDS:g} s")
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM; its exit status once it has ended."""
        self._running().terminate()
        return self._running().wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("it was not started")
        return self._process

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310  # our own http address
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running_sandbox(**settings: object) -> Iterator[tuple[str, int]]:
    """(url, pid) while it runs."""
    process = SandboxProcess(**settings)
    process.start()
    try:
        yield process.url, process.pid
    finally:
        process.stop()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
