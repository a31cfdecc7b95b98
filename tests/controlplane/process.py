"""One process of the control plane: started with its output in a log file, stopped by its own id.

`cluster` starts its three programs with it, and the operator's integration tests the operator.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.controlplane.errors import StartError

POLL_SECONDS: Final = 0.05
STOP_SECONDS: Final = 15.0
PR_SET_PDEATHSIG: Final = 1


class Process:
    """A running program. It is killed by the kernel if the test run itself is killed."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._environment = dict(environment) if environment is not None else None
        self._popen = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        prctl = ctypes.CDLL(None).prctl  # looked up before the fork, where little is allowed
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509  # one system call
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs."""
        return self._popen.poll()

    def wait_until(self, is_ready: Callable[[], bool], timeout: float, what: str) -> None:
        """Returns when `is_ready()`; raises StartError if the process ends first or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while not is_ready():
            if self.returncode is not None:
                raise StartError(f"{self.name} ended with status {self.returncode} before {what}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name}: no sign of {what} after {timeout:.0f} s\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """SIGTERM, SIGKILL after `timeout` seconds; returns the exit status. Calling it again does nothing more."""
        if self.returncode is None:
            self.terminate()
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._popen.terminate()

    def kill(self) -> int:
        """SIGKILL; returns the exit status."""
        self._popen.kill()
        return self._popen.wait()

    def restart(self) -> None:
        """SIGKILL, then the same command anew."""
        self.kill()
        self._popen = self._spawn()

    def freeze(self) -> None:
        """SIGSTOP: it stays, and does nothing until `thaw`."""
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
