"""The real CRDs of projects that the operator works with where they are: KEDA, Prometheus operator, Gateway, Cilium,
cert-manager.

They come out of those projects' Go modules, in a pinned version whose checksum is compared, and are kept in the cache
folder of `binaries`. `make test` calls it as `python -m tests.controlplane.optional_crds`, so that the download is not
part of a test.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.controlplane.binaries import cache_folder
from tests.controlplane.errors import BinaryError
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Kubectl

logger = logging.getLogger(__name__)

DOWNLOAD_SECONDS: Final = 900


@dataclass(frozen=True)
class CrdSource:
    """Files of one Go module; `checksum` is the module's as go.sum has it."""

    module: str
    version: str
    checksum: str
    files: tuple[str, ...]


SOURCES: Final[Mapping[str, CrdSource]] = {
    "keda": CrdSource(
        "github.com/kedacore/keda/v2",
        "v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    ),
    "prometheus": CrdSource(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ),
    ),
    "gateway": CrdSource(
        "sigs.k8s.io/gateway-api",
        "v1.4.0",
        "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=",
        ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
    ),
    "cert-manager": CrdSource(
        "github.com/cert-manager/cert-manager",
        "v1.21.2",
        "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        ("deploy/crds/cert-manager.io_certificates.yaml",),
    ),
    "cilium": CrdSource(
        "github.com/cilium/cilium",
        "v1.18.4",
        "h1:/HrbeMmk46UDkJs4uJemIqxB7wuZ+QRMNVscNYua5C8=",
        ("pkg/k8s/apis/cilium.io/client/crds/v2/ciliumnetworkpolicies.yaml",),
    ),
}


def install_crds(admin: Kubectl, *names: str) -> None:
    """Applies the CRDs of these SOURCES (all without a name) and waits until they are served. Raises BinaryError."""
    for name in names or tuple(SOURCES):
        for file in fetch_crds(name):
            # Server-side: some are too long for the annotation that client-side apply writes.
            admin.run("apply", "--server-side", "-f", str(file))
            eventually(partial(_is_established, admin, file), f"{file.name} being served")


def _is_established(admin: Kubectl, file: Path) -> bool:
    """Not `kubectl wait`, which fails on a CRD that has no conditions yet."""
    found = json.loads(admin.run("get", "-f", str(file), "-o", "json"))
    return all(
        {"Established": "True"}.items()
        <= {part["type"]: part["status"] for part in crd.get("status", {}).get("conditions") or ()}.items()
        for crd in found.get("items", [found])
    )


def remove_crds(admin: Kubectl, *names: str) -> None:
    """Deletes them, with every object of those kinds."""
    for name in names or tuple(SOURCES):
        for file in fetch_crds(name):
            admin.run("delete", "--ignore-not-found", "-f", str(file))


def fetch_crds(name: str) -> list[Path]:
    """Files with the CRDs of one of SOURCES, downloaded where needed. Raises BinaryError."""
    source = SOURCES[name]
    folder = cache_folder() / "crds" / f"{name}-{source.version}"
    files = [folder / Path(file).name for file in source.files]
    if not all(file.is_file() for file in files):
        origin = _download(source)
        folder.mkdir(parents=True, exist_ok=True)
        for path, file in zip(source.files, files, strict=True):
            unfinished = file.with_suffix(f".{os.getpid()}")
            shutil.copyfile(origin / path, unfinished)
            unfinished.rename(file)
    return files


def _download(source: CrdSource) -> Path:
    """The module's folder in Go's module cache."""
    wanted = f"{source.module}@{source.version}"
    logger.info("fetching the CRDs of %s", wanted)
    try:
        answer = subprocess.run(
            ["go", "mod", "download", "-json", wanted],
            cwd=Path(__file__).parent.anchor,
            # The checksum is compared below, with one that was pinned.
            env={**os.environ, "GOSUMDB": "off", "GOWORK": "off", "GO111MODULE": "on"},
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", "") or getattr(error, "stdout", "") or error
        raise BinaryError(f"the Go module {wanted} cannot be downloaded: {words}") from error
    module = json.loads(answer.stdout)
    if module["Sum"] != source.checksum:
        raise BinaryError(f"the Go module {wanted} has checksum {module['Sum']}, not {source.checksum}: do not use it")
    return Path(module["Dir"])


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="==> %(message)s", stream=sys.stderr)
    try:
        for name in SOURCES:
            fetch_crds(name)
    except BinaryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
