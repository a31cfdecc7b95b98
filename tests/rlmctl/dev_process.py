"""`rlmctl dev` as a real process, for tests: the real planes, the scripted stand-in as the model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rlmctl.local.ready_file import ReadyInfo, default_ready_path, read_ready_file

DEADLINE = 240.0  # seconds; the first start may compile the guest
ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "config/samples/quickstart.yaml"


def wait_until(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.02)


def clean_environment(runtime: Path) -> dict[str, str]:
    """The caller's, without a model of its own, and with a runtime folder of the test's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "RLM_"))}
    return environment | {"XDG_RUNTIME_DIR": str(runtime), "COLUMNS": "120"}


def run_rlmctl(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rlmctl", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE
    )


@dataclass(frozen=True)
class DevProcess:
    process: subprocess.Popen[str]
    environment: dict[str, str]
    log: Path

    @property
    def ready_path(self) -> Path:
        return default_ready_path(self.environment)

    def info(self) -> ReadyInfo:
        info = read_ready_file(self.ready_path)
        assert info is not None
        return info

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_rlmctl("ask", *arguments, environment=self.environment)

    def tree(self) -> set[int]:
        """Every process below it."""
        return set(_descendants(self.process.pid))

    def stop(self, signum: int = signal.SIGINT) -> int:
        self.process.send_signal(signum)
        return self.process.wait(timeout=60)


@contextmanager
def run_dev(
    folder: Path, variables: Mapping[str, str] = MappingProxyType({}), manifest: Path = QUICKSTART
) -> Iterator[DevProcess]:
    """Yields once it is ready; `folder` becomes its runtime folder, `variables` join its environment."""
    environment = {**clean_environment(folder), **variables}
    log = folder / "dev.log"
    command = [sys.executable, "-m", "rlmctl", "dev", "-f", str(manifest)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True) as process,
    ):
        dev = DevProcess(process, environment, log)
        try:
            wait_until(lambda: dev.ready_path.exists() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield dev
        finally:
            if process.poll() is None:
                dev.stop()


def is_gone(pid: int) -> bool:
    """Ended; a zombie that nobody has reaped yet has ended too."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def _descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        try:
            yield from _descendants(int(child))
        except FileNotFoundError:
            continue  # it ended meanwhile
