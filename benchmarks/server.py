"""Services of a benchmark's own: real processes on free loopback ports, ended afterwards."""

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
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.model_control import MODEL, SUB_MODEL, ModelControl

ROOT: Final = Path(__file__).parents[1]
START_SECONDS: Final = 300.0  # a first start compiles the guest


class ServiceProcess:
    """`settings` are variables with the service's prefix, in lower case without it. The address stays the same when it
    is started again."""

    module: ClassVar[str]
    prefix: ClassVar[str]

    def __init__(self, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {"auth_mode": "Disabled", "port": self.port, **settings}
        named = {f"{self.prefix}{name.upper()}": str(value) for name, value in given.items()}
        self._env = {**os.environ, "LOG_LEVEL": "WARNING", **named}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Returns when it is ready."""
        self._process = subprocess.Popen([sys.executable, "-m", self.module], env=self._env)
        end = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.module} ended with status {self._process.returncode}")
            if time.monotonic() > end:
                raise RuntimeError(f"{self.module} was not ready within {START_SECONDS:g} s")
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


class SandboxProcess(ServiceProcess):
    module = "runtime.sandbox"
    prefix = "SANDBOX_"


class InferenceProcess(ServiceProcess):
    """In front of the sandbox at `sandbox_url`, over the model at `model_url`."""

    module = "runtime.inference"
    prefix = "RLM_"

    def __init__(self, sandbox_url: str, model_url: str, **settings: object) -> None:
        models = {"model_name": MODEL, "sub_model_name": SUB_MODEL, "model_base_url": f"{model_url}/v1"}
        super().__init__(**models, **settings)
        self._env |= {"WASM_SERVICE_URL": sandbox_url, "LOG_LEVEL": "ERROR"}


class ModelProcess:
    """The scripted model of `benchmarks.model`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.model"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.control = ModelControl(self.url)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def running_model() -> Iterator[ModelProcess]:
    process = ModelProcess()
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def running_inference(sandbox_url: str, model_url: str, **settings: object) -> Iterator[InferenceProcess]:
    process = InferenceProcess(sandbox_url, model_url, **settings)
    process.start()
    try:
        yield process
    finally:
        process.stop()


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
