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


@contextmanager
def running_sandbox(**settings: object) -> Iterator[tuple[str, int]]:
    """(url, pid) once it is ready; `settings` are SANDBOX_ variables in lower case."""
    port = free_port()
    given = {f"SANDBOX_{name.upper()}": str(value) for name, value in settings.items()}
    env = {"SANDBOX_AUTH_MODE": "Disabled", "SANDBOX_PORT": str(port), "LOG_LEVEL": "WARNING", **given}
    process = subprocess.Popen([sys.executable, "-m", "runtime.sandbox"], env={**os.environ, **env})
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the sandbox ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  # our own http address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the sandbox was not ready within {START_SECONDS:g} s")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
