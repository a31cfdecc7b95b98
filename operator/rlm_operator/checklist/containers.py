"""Checks of every container in a plane's pods: limits, privileges, user, image. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rlm_operator.checklist.evidence import PlaneEvidence, PodSpec
from rlm_operator.checklist.findings import Findings

_Container = Mapping[str, Any]


def check_limits(planes: list[PlaneEvidence]) -> Findings:
    """CPU and memory limits on every container."""
    return _each_container(planes, _limits)


def check_privileges(planes: list[PlaneEvidence]) -> Findings:
    """Nothing of the node is shared, and no container has or can gain rights beyond an ordinary process'."""
    findings = _each_container(planes, _privileges)
    for plane in planes:
        for pod in plane.pod_specs:
            for field in ("hostNetwork", "hostPID", "hostIPC"):
                if pod.spec.get(field):
                    findings.add(f"{field} is on", pod.place)
            for volume in pod.spec.get("volumes") or ():
                if "hostPath" in volume:
                    findings.add(f"volume {volume['name']} is a folder of the node", pod.place)
    return findings


def check_users(planes: list[PlaneEvidence]) -> Findings:
    """The kubelet refuses to start any container as root."""
    return _each_container(planes, _user)


def check_digests(planes: list[PlaneEvidence]) -> Findings:
    """Every image is named by its digest, so that what was tested is what runs."""
    return _each_container(planes, _digest)


def _each_container(planes: list[PlaneEvidence], check: Callable[[PodSpec, _Container], list[str]]) -> Findings:
    findings = Findings()
    for plane in planes:
        for pod in plane.pod_specs:
            for container in pod.containers:
                for problem in check(pod, container):
                    findings.add(f"container {container.get('name')} {problem}", pod.place)
    return findings


def _limits(_pod: PodSpec, container: _Container) -> list[str]:
    limits = (container.get("resources") or {}).get("limits") or {}
    missing = [name for name in ("cpu", "memory") if not limits.get(name)]
    return [f"has no {' and no '.join(missing)} limit"] if missing else []


def _privileges(_pod: PodSpec, container: _Container) -> list[str]:
    context = container.get("securityContext") or {}
    capabilities = context.get("capabilities") or {}
    problems = []
    if context.get("privileged"):
        problems.append("is privileged")
    if context.get("allowPrivilegeEscalation") is not False:
        problems.append("does not forbid privilege escalation")
    if "ALL" not in (capabilities.get("drop") or ()):
        problems.append("keeps capabilities of the runtime's default set")
    if added := capabilities.get("add"):
        problems.append(f"has the capabilities {', '.join(sorted(added))}")
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        problems.append("takes a port of the node")
    return problems


def _user(pod: PodSpec, container: _Container) -> list[str]:
    of_pod, own = pod.spec.get("securityContext") or {}, container.get("securityContext") or {}
    user = own.get("runAsUser", of_pod.get("runAsUser"))
    if user == 0:
        return ["runs as user 0"]
    if not own.get("runAsNonRoot", of_pod.get("runAsNonRoot")):
        return ["may run as root: runAsNonRoot is not set"]
    return []


def _digest(_pod: PodSpec, container: _Container) -> list[str]:
    image = container.get("image") or ""
    return [] if "@sha256:" in image else [f"runs {image}, a tag that can be moved"]
