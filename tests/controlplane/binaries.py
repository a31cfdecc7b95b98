"""Finds the programs of the tests' control plane, and builds from Go modules what is not there.

`make test` and `.ci/run` call it as `python -m tests.controlplane.binaries`, so that a first build shows its progress;
the fixture calls `locate`. Each program is looked for in `$KUBEBUILDER_ASSETS`, then on PATH, then in the cache
(`$XDG_CACHE_HOME/rlm-operator/controlplane`), and is built into the cache if it is nowhere. A program that is too old
is passed over: Debian's etcd 3.4, for one, lacks the watch progress that API servers of today rely on.

Versions are those of `go/*/go.mod`, checksums those of `go/*/go.sum`. Kubernetes needs its version stamped in by the
linker; without it `kubectl version` fails to parse its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.controlplane.errors import BinaryError

logger = logging.getLogger(__name__)

GO_SOURCES: Final = Path(__file__).parent / "go"
OLDEST_GO: Final = (1, 24)
STILL_BUILDING_SECONDS: Final = 30.0

Version = tuple[int, int]


@dataclass(frozen=True)
class Module:
    """One Go module of `go/`: what its programs are built from."""

    folder: str
    requirement: str  # the Go module that the version is taken from
    stamped: tuple[str, ...] = ()  # packages whose gitVersion is the version
    tags: tuple[str, ...] = ()  # build tags

    @property
    def path(self) -> Path:
        return GO_SOURCES / self.folder

    @property
    def version(self) -> str:
        """The pinned version, such as `v1.34.4`."""
        match = re.search(
            rf"^(?:require )?\s*{re.escape(self.requirement)} (v\S+)", (self.path / "go.mod").read_text(), re.M
        )
        if match is None:
            raise BinaryError(f"{self.path / 'go.mod'} does not require {self.requirement}")
        return match.group(1)

    @property
    def linker_flags(self) -> str:
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        stamps = [
            f"-X {package}.{name}={value}"
            for package in self.stamped
            for name, value in (("gitVersion", self.version), ("gitMajor", major), ("gitMinor", minor))
        ]
        return " ".join(["-s", "-w", *stamps])

    @property
    def key(self) -> str:
        """Names the cache folder: changes with anything that changes the programs."""
        digest = hashlib.sha256(" ".join([self.linker_flags, *self.tags]).encode())
        for name in ("go.mod", "go.sum"):
            digest.update((self.path / name).read_bytes())
        return (
            f"{self.folder}-{self.version}-{platform.system().lower()}-{platform.machine()}-{digest.hexdigest()[:12]}"
        )


@dataclass(frozen=True)
class Program:
    """One executable: where it is built from and how its version is asked for."""

    name: str
    module: Module
    package: str
    version_arguments: tuple[str, ...]
    oldest: Version  # the oldest (major, minor) that the tests accept when it is found on the machine


KUBERNETES: Final = Module(
    "kubernetes", "k8s.io/kubernetes", ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
)
ETCD: Final = Module("etcd", "go.etcd.io/etcd/server/v3")

PROGRAMS: Final = (
    Program("etcd", ETCD, "go.etcd.io/etcd/server/v3", ("--version",), (3, 6)),
    Program("kube-apiserver", KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", ("--version",), (1, 34)),
    Program(
        "kube-controller-manager",
        KUBERNETES,
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        ("--version",),
        (1, 34),
    ),
    # kubectl is supported with an API server that is one minor version newer.
    Program("kubectl", KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", ("version", "--client"), (1, 33)),
)

CYCLONUS: Final = Program(
    "cyclonus",
    Module("cyclonus", "github.com/mattfenwick/cyclonus"),
    "github.com/mattfenwick/cyclonus/cmd/cyclonus",
    ("version",),
    (0, 5),
)
"""Judges network policies (`policy_evaluator`); no part of the control plane."""
KUBECONFORM: Final = Program(
    "kubeconform",
    Module("kubeconform", "github.com/yannh/kubeconform"),
    "github.com/yannh/kubeconform/cmd/kubeconform",
    ("-v",),
    (0, 8),
)
"""Compares manifests with schemas."""
KUBE_SCORE: Final = Program(
    "kube-score",
    Module("kube-score", "github.com/zegl/kube-score"),
    "github.com/zegl/kube-score/cmd/kube-score",
    ("version",),
    (1, 20),
)
"""Says what experienced operators would object to in manifests."""
PROMTOOL: Final = Program(
    "promtool",
    # Without the clients of two dozen clouds, in which Prometheus would discover what to scrape: minutes of building.
    Module("promtool", "github.com/prometheus/prometheus", tags=("remove_all_sd",)),
    "github.com/prometheus/prometheus/cmd/promtool",
    ("--version",),
    (3, 0),
)
"""Judges alerting rules."""


@dataclass(frozen=True)
class Binaries:
    """Paths of the four programs."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path


def locate() -> Binaries:
    """The four programs, built first where needed (minutes on an empty cache). Raises BinaryError."""
    found = {program.name.replace("-", "_"): find(program) or build(program) for program in PROGRAMS}
    return Binaries(**found)


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
    match = re.search(r"(?:v|Version: )(\d+)\.(\d+)\.", answer.stdout)
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
    logging.basicConfig(level=logging.INFO, format="==> %(message)s", stream=sys.stderr)
    try:
        binaries = locate()
        judges = {judge.name: find(judge) or build(judge) for judge in (CYCLONUS, KUBECONFORM, KUBE_SCORE, PROMTOOL)}
    except BinaryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for program in PROGRAMS:
        logger.info("%s: %s", program.name, getattr(binaries, program.name.replace("-", "_")))
    for name, path in judges.items():
        logger.info("%s: %s", name, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
