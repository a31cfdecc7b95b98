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

from tests.controlplane.process import Process
from tests.ports import free_port

READY_SECONDS: Final = 60.0


class OperatorProcess:
    """Started and stopped by the tests; `user` is its name in the audit log."""

    def __init__(self, kubeconfig: Path, user: str, log: Path, lease_namespace: str = "") -> None:
        """Without `lease_namespace` it leads unopposed."""
        self.user = user
        self._kubeconfig = kubeconfig
        self._lease_namespace = lease_namespace
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
        options = {
            "kubeconfig": self._kubeconfig,
            "lease-namespace": self._lease_namespace,
            "metrics-host": "127.0.0.1",
            "metrics-port": self._port,
            **{name.replace("_", "-"): value for name, value in further.items()},
        }
        command = [
            sys.executable,
            "-m",
            "rlm_operator",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        self._process = Process("operator", command, self._log)
        self._process.wait_until(self._is_ready, READY_SECONDS, "an answer from /readyz")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        status = self._process.stop()
        self._process = None
        return status

    def terminate(self) -> None:
        """SIGTERM, without waiting; `stop` waits for the end."""
        assert self._process is not None
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL: nothing is drained or released."""
        assert self._process is not None
        self._process.kill()
        self._process = None

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

    @property
    def leads(self) -> bool:
        """As its metric says; False while it does not answer."""
        try:
            return "rlm_operator_leader 1.0" in self.fetch("/metrics")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    @property
    def has_ended(self) -> bool:
        """By itself; `stop` then tells its exit status."""
        return self._process is not None and self._process.returncode is not None

    def trouble(self, path: str) -> str:
        """Body of GET `path` where that is answered by 503, else empty."""
        try:
            self.fetch(path)
        except urllib.error.HTTPError as error:
            body: bytes = error.read()
            return body.decode() if error.code == 503 else ""
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return ""
        return ""

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
