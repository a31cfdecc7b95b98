"""A real sandbox service as a process of its own, for the tests of everything that talks to one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_DEADLINE = 180.0  # seconds; a first start compiles the guest

SANDBOX_KEY = "test-sandbox-key"


@dataclass(frozen=True)
class SandboxProcess:
    url: str
    key_file: Path
    process: subprocess.Popen[str]
    log: Path

    def log_lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def run_sandbox(folder: Path, **settings: str) -> Iterator[SandboxProcess]:
    """Started with one key; `settings` are further SANDBOX_ variables, with SANDBOX_TLS_DIR a metrics port too, where
    readiness is asked. Ended when the block ends."""
    keys = folder / "sandbox-keys"
    keys.mkdir()
    key_file = keys / "inference"
    key_file.write_text(SANDBOX_KEY)
    log_path = folder / "sandbox.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.sandbox"],
            env={
                **os.environ,
                "SANDBOX_PORT": "0",
                "SANDBOX_API_KEYS_DIR": str(keys),
                "SANDBOX_SPARES": "2",
                **settings,
            },
            stderr=log,
            text=True,
        )
        try:
            yield SandboxProcess(_wait_ready(process, log_path), key_file, process, log_path)
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        text = log.read_text()
        if process.poll() is not None:
            raise AssertionError(f"the sandbox ended with status {process.returncode}:\n{text}")
        for record in (json.loads(line) for line in text.splitlines() if '"listening"' in line):
            if _is_ready(f"http://{record['host']}:{record['metrics_port']}"):
                return f"{'https' if record['tls'] else 'http'}://{record['host']}:{record['port']}"
        time.sleep(0.05)
    raise AssertionError(f"the sandbox was not ready within {START_DEADLINE:g} s:\n{text}")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as response:  # noqa: S310  # our own http address
            return bool(response.status == 200)
    except OSError:
        return False
