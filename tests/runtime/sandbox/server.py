"""A real sandbox service as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.runtime.sandbox.memory_group import MemoryGroup

START_DEADLINE: Final = 240.0  # seconds; a first start compiles the guest
STOP_DEADLINE: Final = 60.0
KEYS: Final = {"alice": "key-of-alice-5f1c", "bob": "key-of-bob-77aa"}


@dataclass(frozen=True)
class SandboxServer:
    """`log` is the file that holds everything it has logged."""

    process: subprocess.Popen[bytes]
    keys: Path
    log: Path
    url: str
    metrics_url: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def log_lines(self) -> list[dict[str, object]]:
        return _json_lines(self.log)

    async def ended(self) -> int:
        """Wait for the end; the exit status."""
        return await asyncio.to_thread(self.process.wait, STOP_DEADLINE)


@contextlib.contextmanager
def run_server(
    module: str = "runtime.sandbox",
    group: MemoryGroup | None = None,
    wrapper: Sequence[str] = (),
    **settings: object,
) -> Iterator[SandboxServer]:
    """Ready when the block begins and ended after it. `settings` are SANDBOX_ variables in lower case; with `tls_dir`
    a metrics port is needed too, where readiness is asked. `group` is the cgroup that it runs in, `wrapper` a command
    that becomes it."""
    with tempfile.TemporaryDirectory(prefix="sandbox-test-") as folder:
        keys, log = Path(folder) / "keys", Path(folder) / "log"
        write_keys(keys, KEYS)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", module],
                env={**os.environ, **_variables(keys, settings)},
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                preexec_fn=None if group is None else group.join,  # noqa: PLW1509  # the test has one thread here
            )
        try:
            yield SandboxServer(process, keys, log, *_wait_until_ready(process, log))
        finally:
            process.terminate()
            try:
                process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def write_keys(folder: Path, keys: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, key in keys.items():
        (folder / name).write_text(key + "\n")


def _variables(keys: Path, settings: dict[str, object]) -> dict[str, str]:
    defaults = {"port": 0, "api_keys_dir": keys, "spares": 2, "drain_seconds": 1}
    named = {f"SANDBOX_{name.upper()}": str(value) for name, value in {**defaults, **settings}.items()}
    return {**named, "LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    """(API, metrics) addresses."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the sandbox ended with status {process.returncode}:\n{log.read_text()}")
        for line in map(json.loads, filter(lambda line: line.startswith('{"'), log.read_text().split("\n")[:-1])):
            if line.get("message") == "listening":
                scheme = "https" if line["tls"] else "http"
                urls = f"{scheme}://127.0.0.1:{line['port']}", f"http://127.0.0.1:{line['metrics_port']}"
                if _is_ready(urls[1]):
                    return urls
        time.sleep(0.05)
    raise AssertionError(f"the sandbox was not ready within {START_DEADLINE:g} s:\n{log.read_text()}")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:  # noqa: S310  # our own http address
            return bool(response.status == 200)
    except OSError:
        return False


def _json_lines(log: Path) -> list[dict[str, object]]:
    """Every line of the log; a line that is no JSON object is a failure of the service, but its last may be cut."""
    *lines, _ = log.read_text().split("\n")
    return [json.loads(line) for line in lines]
