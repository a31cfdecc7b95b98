"""What the tests' control plane consists of: each program, the Go module that it is built from, and its version.

`binaries` finds or builds them. Versions are those of `go/*/go.mod`, checksums those of `go/*/go.sum`. Kubernetes needs
its version stamped in by the linker; without it `kubectl version` fails to parse its own.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.controlplane.errors import BinaryError

GO_SOURCES: Final = Path(__file__).parent / "go"

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

KUBE_SCHEDULER: Final = Program(
    # No `tool` of its module's go.mod: the file names the cache folder, and all programs in it would be built anew.
    "kube-scheduler",
    KUBERNETES,
    "k8s.io/kubernetes/cmd/kube-scheduler",
    ("--version",),
    (1, 34),
)
"""Gives pods a node; only where a test wants pods that run (`nodes`)."""
KWOK: Final = Program("kwok", Module("kwok", "sigs.k8s.io/kwok"), "sigs.k8s.io/kwok/cmd/kwok", ("--version",), (0, 7))
"""Plays the kubelets of such pods' nodes."""

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
