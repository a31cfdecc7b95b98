"""From rendered Deployments to local processes: the same command and environment, addresses and paths of this machine.

Pure but for `free_port`: called by `local/stack.py`. A port of a container becomes a free one on loopback, an address
of a rendered Service that port, a mounted path the folder that stands in for the volume. Nothing of the caller's
environment is passed on but what any program needs to run (`ESSENTIALS`), so no key in it can reach a process.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from rlm_operator.resource import Manifest
from rlmctl.errors import InputError

LOOPBACK: Final = "127.0.0.1"
ESSENTIALS: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "XDG_CACHE_HOME", "LD_LIBRARY_PATH")
"""Where programs, shared libraries and the user's cache are, and how text and time are written."""
_FILE_URL: Final = "file://"
_SCRATCH: Final = "/tmp"  # noqa: S108  # where pods mount their scratch volume


@dataclass(frozen=True)
class LocalProcess:
    """`environment` is all there is; `ready_url` answers 200 once it can work."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ready_url: str


@dataclass(frozen=True)
class LocalContainer:
    """A Deployment's container with the local port of each of its ports, by name (`http`, `metrics`)."""

    deployment: Manifest
    ports: Mapping[str, int]

    @property
    def spec(self) -> dict[str, Any]:
        containers: list[dict[str, Any]] = self._pod["containers"]
        return containers[0]

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def replicas(self) -> int:
        return int(self.deployment["spec"].get("replicas", 1))

    @property
    def volumes(self) -> dict[str, dict[str, Any]]:
        return {volume["name"]: volume for volume in self._pod.get("volumes", [])}

    @property
    def mounts(self) -> dict[str, str]:
        """Mount path by volume name."""
        return {mount["name"]: mount["mountPath"] for mount in self.spec.get("volumeMounts", [])}

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['http']}"

    def is_selected_by(self, service: Manifest) -> bool:
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        return bool(service["spec"]["selector"].items() <= labels.items())

    @property
    def _pod(self) -> dict[str, Any]:
        pod: dict[str, Any] = self.deployment["spec"]["template"]["spec"]
        return pod


@dataclass(frozen=True)
class Neighbourhood:
    """Everything rendered together: what an environment may refer to."""

    manifests: list[Manifest]
    containers: list[LocalContainer] = field(default_factory=list)

    def setting(self, reference: Mapping[str, str]) -> str | None:
        """The value that a `configMapKeyRef` refers to."""
        for manifest in self.manifests:
            if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == reference["name"]:
                value = manifest["data"].get(reference["key"])
                return None if value is None else str(value)
        return None

    def local_url(self, value: str) -> str:
        """The URL of a rendered Service on this machine; any other text as it is."""
        parts = urlsplit(value) if value.startswith(("http://", "https://")) else None
        if parts is None or parts.hostname is None:
            return value
        service = self._service(parts.hostname)
        container = next((each for each in self.containers if service and each.is_selected_by(service)), None)
        if container is None:
            return value
        return urlunsplit(parts._replace(netloc=urlsplit(container.url).netloc))

    def _service(self, host: str) -> Manifest | None:
        """`name`, `name.namespace` and `name.namespace.svc…` are a Service's names."""
        labels = host.split(".")
        for manifest in self.manifests:
            metadata = manifest["metadata"]
            names = [metadata["name"], metadata.get("namespace", "default"), "svc"]
            if manifest["kind"] == "Service" and labels[:3] == names[: len(labels[:3])]:
                return manifest
        return None


def find_containers(manifests: Iterable[Manifest]) -> list[LocalContainer]:
    """One per Deployment, with a free port for each of its ports. Pools come before the stacks that call them."""
    containers = [
        LocalContainer(manifest, {port["name"]: free_port() for port in _container_ports(manifest)})
        for manifest in manifests
        if manifest["kind"] == "Deployment"
    ]
    return sorted(containers, key=lambda container: container.name != "sandbox")


def build_process(
    container: LocalContainer, neighbourhood: Neighbourhood, folders: Mapping[str, Path], essentials: Mapping[str, str]
) -> LocalProcess:
    """`folders`: the local folder of each mounted volume, by volume name; `essentials`: what is inherited.

    Raises InputError for a reference that leads nowhere.
    """
    paths = {mount: str(folders[volume]) for volume, mount in container.mounts.items()}
    ports = {str(port["containerPort"]): container.ports[port["name"]] for port in container.spec["ports"]}
    environment = dict(essentials)
    if _SCRATCH in paths:
        environment["TMPDIR"] = paths[_SCRATCH]
    for variable in container.spec["env"]:
        name, value = variable["name"], _value(container, variable, neighbourhood)
        if name.endswith("_PORT") and value in ports:
            value = str(ports[value])
        elif name.endswith("_HOST") and value == "0.0.0.0":  # what pods say; here it becomes loopback
            value = LOOPBACK
        else:
            value = neighbourhood.local_url(_local_path(value, paths))
        environment[name] = value
    program, *arguments = container.spec["command"]
    return LocalProcess(
        name=container.name,
        command=[sys.executable if program == "python" else program, *arguments],
        environment=environment,
        ready_url=f"http://{LOOPBACK}:{container.ports['metrics']}/readyz",
    )


def select_essentials(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in ESSENTIALS if name in environment}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _container_ports(deployment: Manifest) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
    return ports


def _value(container: LocalContainer, variable: Mapping[str, Any], neighbourhood: Neighbourhood) -> str:
    if "value" in variable:
        return str(variable["value"])
    reference = (variable.get("valueFrom") or {}).get("configMapKeyRef")
    value = neighbourhood.setting(reference) if reference else None
    if value is None:
        raise InputError(
            f"{container.name}: variable {variable['name']} refers to {variable.get('valueFrom')}, which was not "
            "rendered; on this machine variables come from values and rendered ConfigMaps"
        )
    return value


def _local_path(value: str, paths: Mapping[str, str]) -> str:
    """A path below a mount, or its file:// URL, on this machine; any other text as it is."""
    if value.startswith(_FILE_URL):
        return _FILE_URL + _local_path(value.removeprefix(_FILE_URL), paths)
    for mount, local in paths.items():
        if value == mount or value.startswith(f"{mount}/"):
            return local + value[len(mount) :]
    return value
