"""The operator as a real process beside the control plane, with the rights of its own ServiceAccount and no more.

It runs what the installed Deployment would run in a pod: `python -m rlm_operator`, as the account that config/default
binds.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.controlplane.process import Process, free_port

READY_SECONDS: Final = 60.0


class OperatorProcess:
    """Started and stopped by the tests; `user` is its name in the audit log."""

    def __init__(self, kubeconfig: Path, user: str, log: Path) -> None:
        self.user = user
        self._kubeconfig = kubeconfig
        self._log = log
        self._port = free_port()
        self._process: Process | None = None

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, **further: object) -> None:
        """With `further` options. Returns when it is ready. Raises StartError."""
        options = {"kubeconfig": self._kubeconfig, "metrics-host": "127.0.0.1", "metrics-port": self._port, **further}
        command = [
            sys.executable,
            "-m",
            "rlm_operator",
            *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
        ]
        self._process = Process("operator", command, self._log)
        self._process.wait_until(self._is_ready, READY_SECONDS, "an answer from /readyz")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        status = self._process.stop()
        self._process = None
        return status

    def restart(self) -> int:
        """Stops and starts it; the exit status of the first."""
        status = self.stop()
        self.start()
        return status

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still inside the block, and sees nothing of what happens."""
        assert self._process is not None
        self._process.freeze()
        try:
            yield
        finally:
            self._process.thaw()

    def ensure_running(self) -> None:
        """Starts it where a test has left it stopped; fails where it ended by itself."""
        if self._process is None:
            self.start()
        assert self._process is not None
        assert self._process.returncode is None, f"the operator ended by itself:\n{self._process.log_tail()}"

    def fetch(self, path: str) -> str:
        """Body of GET `path` on its metrics port."""
        with urllib.request.urlopen(f"{self.metrics_url}{path}", timeout=5) as reply:  # noqa: S310  # loopback
            body: bytes = reply.read()
        return body.decode()

    def log_text(self) -> str:
        return self._log.read_text(errors="replace")

    def _is_ready(self) -> bool:
        try:
            self.fetch("/readyz")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True
