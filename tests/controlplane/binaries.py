"""Finds the programs of the tests' control plane, and builds from Go modules what is not there.

`make test` and `.ci/run` call it as `python -m tests.controlplane.binaries`, so that a first build shows its progress;
the fixtures call `locate` and `locate_for_pods`. Each program is looked for in `$KUBEBUILDER_ASSETS`, then on PATH,
then in the cache (`$XDG_CACHE_HOME/rlm-operator/controlplane`), and is built into the cache if it is nowhere. A program
that is too old is passed over: Debian's etcd 3.4, for one, lacks the watch progress that API servers of today rely on.

`programs` says which programs there are and what they are built from.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.controlplane.errors import BinaryError
from tests.controlplane.programs import (
    CYCLONUS,
    KUBE_SCHEDULER,
    KUBE_SCORE,
    KUBECONFORM,
    KWOK,
    PROGRAMS,
    PROMTOOL,
    Program,
    Version,
)

logger = logging.getLogger(__name__)

OLDEST_GO: Final = (1, 24)
STILL_BUILDING_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Binaries:
    """Paths of the four programs."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path


@dataclass(frozen=True)
class PodBinaries:
    """Paths of what makes pods run."""

    kube_scheduler: Path
    kwok: Path


def locate() -> Binaries:
    """The four programs, built first where needed (minutes on an empty cache). Raises BinaryError."""
    return Binaries(**_obtain(PROGRAMS))


def locate_for_pods() -> PodBinaries:
    """The two programs that pods need to run, built first where needed. Raises BinaryError."""
    return PodBinaries(**_obtain((KUBE_SCHEDULER, KWOK)))


def _obtain(programs: Iterable[Program]) -> dict[str, Path]:
    return {program.name.replace("-", "_"): find(program) or build(program) for program in programs}


def find(program: Program) -> Path | None:
    """A usable `program` in `$KUBEBUILDER_ASSETS`, on PATH or in the cache; None where there is none."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = [Path(assets) / program.name] if assets else []
    on_path = shutil.which(program.name)
    if on_path is not None:
        candidates.append(Path(on_path))
    for candidate in candidates:
        version = read_version(candidate, program.version_arguments)
        if version is not None and version >= program.oldest:
            return candidate
        if version is not None:
            logger.info(
                "%s is version %d.%d; at least %d.%d is needed, so it is passed over",
                candidate,
                *version,
                *program.oldest,
            )
    cached = cache_path(program)
    return cached if cached.is_file() else None


def read_version(executable: Path, arguments: tuple[str, ...]) -> Version | None:
    """(major, minor) that `executable` says it has; None where it cannot be run or says nothing of the kind."""
    try:
        answer = subprocess.run(
            [executable, *arguments], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"(?:v|[Vv]ersion:? )(\d+)\.(\d+)\.", answer.stdout)
    return (int(match.group(1)), int(match.group(2))) if match else None


def cache_path(program: Program) -> Path:
    return cache_folder() / program.module.key / program.name


def cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "rlm-operator" / "controlplane"


def build(program: Program) -> Path:
    """Builds `program` into the cache and returns its path. Two runs at once build it once. Raises BinaryError."""
    target = cache_path(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(cache_folder() / "lock"):
        if target.is_file():
            return target
        check_go(program)
        logger.info("building %s %s from Go modules (minutes, once)", program.name, program.module.version)
        started = time.monotonic()
        unfinished = target.with_name(f"{program.name}.unfinished")
        _run_go_build(program, unfinished)
        unfinished.rename(target)
        size = target.stat().st_size / 1e6
        logger.info("built %s in %.0f s (%.0f MB): %s", program.name, time.monotonic() - started, size, target)
    return target


def check_go(program: Program) -> None:
    """Raises BinaryError, saying what to do, where no Go that can build `program` is on PATH."""
    wanted = f"install Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer, or put {program.name} into $KUBEBUILDER_ASSETS"
    try:
        answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BinaryError(f"{program.name} has to be built and there is no working `go` on PATH: {wanted}") from error
    match = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    if match is None or (int(match.group(1)), int(match.group(2))) < OLDEST_GO:
        raise BinaryError(f"{program.name} has to be built and Go is {answer.stdout.strip()}: {wanted}")


def _run_go_build(program: Program, output: Path) -> None:
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", program.module.linker_flags]
    command += ["-tags", ",".join(program.module.tags)] if program.module.tags else []
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    with subprocess.Popen(
        [*command, "-o", output, program.package],
        cwd=program.module.path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = _wait_aloud(process, program.name)
    if process.returncode:
        raise BinaryError(f"go build of {program.package} ended with status {process.returncode}:\n{said[-4000:]}")


def _wait_aloud(process: subprocess.Popen[str], name: str) -> str:
    """Waits for `process`, says so every half minute, and returns what it printed."""
    started = time.monotonic()
    while True:
        try:
            said, _ = process.communicate(timeout=STILL_BUILDING_SECONDS)
        except subprocess.TimeoutExpired:
            logger.info("still building %s, %.0f s", name, time.monotonic() - started)
        else:
            return said


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Everything that the whole suite needs."""
    logging.basicConfig(level=logging.INFO, format="==> %(message)s", stream=sys.stderr)
    wanted = (*PROGRAMS, KUBE_SCHEDULER, KWOK, CYCLONUS, KUBECONFORM, KUBE_SCORE, PROMTOOL)
    try:
        found = _obtain(wanted)
    except BinaryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, path in found.items():
        logger.info("%s: %s", name, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
