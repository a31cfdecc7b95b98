"""Replicas of the inference service: a process each, on an address of its own as pods have, which know each other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

START_DEADLINE = 120.0
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@dataclass(frozen=True)
class Replica:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextlib.contextmanager
def run_replicas(folder: Path, environment: dict[str, str]) -> Iterator[list[Replica]]:
    """Three, each ready to be asked; killed at the end."""
    port = free_port("0.0.0.0")
    urls = [f"http://{address}:{port}" for address in ADDRESSES]
    common = {**environment, "RLM_PORT": str(port), "RLM_PEERS_URL": ",".join(urls)}
    with contextlib.ExitStack() as stack:
        replicas = [
            stack.enter_context(_run(url, folder / f"{address}.log", {**common, "RLM_HOST": address}))
            for url, address in zip(urls, ADDRESSES, strict=True)
        ]
        for replica in replicas:
            _wait_listening(replica)
        yield replicas


@contextlib.contextmanager
def _run(url: str, log: Path, settings: dict[str, str]) -> Iterator[Replica]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RLM_", "WASM_", "OPENAI_"))}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.inference"], env={**clean, **settings}, stderr=file, stdout=file
        )
        try:
            yield Replica(url, process, log)
        finally:
            process.kill()
            process.wait()


def _wait_listening(replica: Replica) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        lines = replica.log.read_text().splitlines()
        if any(json.loads(line)["message"] == "listening" for line in lines if line.startswith("{")):
            return
        assert replica.process.poll() is None, lines
        time.sleep(0.05)
    raise AssertionError(f"{replica.url} does not listen: {lines}")
