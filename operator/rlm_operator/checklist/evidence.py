"""What the checklist looks at: the live objects of one plane, and what can be read off them directly.

Filled by the operator from its cache and by `rlmctl verify` from its own requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_operator.resource import Manifest

CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True)
class PodSpec:
    """The spec of pods: a Deployment's template, or one pod as admission left it. `place` says which, for people."""

    place: str
    spec: Mapping[str, Any]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All of them: also those that run first, and those that somebody attached for a look."""
        return [container for name in CONTAINER_LISTS for container in self.spec.get(name) or ()]


@dataclass(frozen=True)
class PlaneEvidence:
    """One plane. `workload` is the name of its Deployment and ConfigMap, either of which may be absent.

    `policies`: the NetworkPolicies that its caller can see: the operator its own ones, `rlmctl verify` all of the
    namespace. `pods`: those that run; the operator leaves them out, and the template speaks for them.
    """

    component: str
    workload: str
    deployment: Manifest | None = None
    config_map: Manifest | None = None
    policies: Sequence[Manifest] = ()
    pods: Sequence[Manifest] = ()

    @property
    def template(self) -> Mapping[str, Any]:
        """The Deployment's pod template; empty without one."""
        return ((self.deployment or {}).get("spec") or {}).get("template") or {}

    @property
    def labels(self) -> Mapping[str, str]:
        return (self.template.get("metadata") or {}).get("labels") or {}

    @property
    def pod_specs(self) -> Iterator[PodSpec]:
        if self.template:
            yield PodSpec(f"Deployment {self.workload}", self.template.get("spec") or {})
        for pod in self.pods:
            yield PodSpec(f"pod {pod['metadata']['name']}", pod.get("spec") or {})

    @property
    def settings(self) -> Mapping[str, str]:
        """Variables of the plane's own container as its process sees them, but for those that come from Secrets."""
        data = (self.config_map or {}).get("data") or {}
        return effective_variables(self.main_container or {}, {self.workload: data})

    @property
    def main_container(self) -> Mapping[str, Any] | None:
        """The container named like the component: the plane's process, whatever else was put beside it."""
        for container in (self.template.get("spec") or {}).get("containers") or ():
            if container.get("name") == self.component:
                found: Mapping[str, Any] = container
                return found
        return None


def effective_variables(container: Mapping[str, Any], config_maps: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Name to value, as the kubelet would set them: a variable that is named twice has its last value."""
    variables: dict[str, str] = {}
    for entry in container.get("env") or ():
        reference = (entry.get("valueFrom") or {}).get("configMapKeyRef")
        if reference is None and "valueFrom" not in entry:
            variables[entry["name"]] = entry.get("value") or ""
        elif reference is not None:
            value = config_maps.get(reference.get("name"), {}).get(reference.get("key"))
            if value is not None:
                variables[entry["name"]] = value
    return variables


@dataclass(frozen=True)
class SecretUse:
    """An entry of a Secret that a pod can read; `key` None: all entries."""

    secret: str
    key: str | None = None

    def overlaps(self, other: SecretUse) -> bool:
        return self.secret == other.secret and (self.key is None or other.key is None or self.key == other.key)


def secrets_in(pod: PodSpec) -> list[SecretUse]:
    """Every Secret that the pod's volumes and variables bring in."""
    return [*_secrets_of_volumes(pod), *_secrets_of_variables(pod)]


def secrets_of_volume(volume: Mapping[str, Any]) -> list[SecretUse]:
    if secret := volume.get("secret"):
        return _uses(secret.get("secretName", ""), secret.get("items"))
    sources = (volume.get("projected") or {}).get("sources") or ()
    return [
        use
        for source in sources
        if (secret := source.get("secret"))
        for use in _uses(secret.get("name", ""), secret.get("items"))
    ]


def _secrets_of_volumes(pod: PodSpec) -> Iterator[SecretUse]:
    for volume in pod.spec.get("volumes") or ():
        yield from secrets_of_volume(volume)


def _secrets_of_variables(pod: PodSpec) -> Iterator[SecretUse]:
    for container in pod.containers:
        for entry in container.get("env") or ():
            if reference := (entry.get("valueFrom") or {}).get("secretKeyRef"):
                yield SecretUse(reference.get("name", ""), reference.get("key"))
        for source in container.get("envFrom") or ():
            if reference := source.get("secretRef"):
                yield SecretUse(reference.get("name", ""))


def secrets_at(pod: PodSpec, container: Mapping[str, Any], path: str) -> list[SecretUse]:
    """What Secrets a container finds at a path: those of the volume that is mounted there or nearest above."""
    mounts = [mount for mount in container.get("volumeMounts") or () if _is_at_or_below(path, mount["mountPath"])]
    if not mounts:
        return []
    name = max(mounts, key=lambda mount: len(mount["mountPath"]))["name"]
    volumes: Iterable[Mapping[str, Any]] = pod.spec.get("volumes") or ()
    return [use for volume in volumes if volume.get("name") == name for use in secrets_of_volume(volume)]


def _uses(name: str, items: Sequence[Mapping[str, Any]] | None) -> list[SecretUse]:
    return [SecretUse(name, item.get("key")) for item in items] if items else [SecretUse(name)]


def _is_at_or_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
