"""The pod that both planes share: Pod Security "restricted" by construction.

Whatever a spec says, a pod from here runs as an ordinary user without capabilities, on a read-only root, without an API
token, with requests, limits and probes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rlm_operator.names import API_PORT, CONFIG_ANNOTATION, METRICS_PORT, NETWORK_LABEL
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.placement import Placement, build_placement
from rlm_operator.resource import Manifest

_USER: Final = 65532
"""The user of the images; also the group of mounted Secrets."""


@dataclass(frozen=True)
class Workspace:
    """What is particular about one plane's container."""

    name: str
    image: str
    command: list[str]
    env: list[Manifest]
    resources: dict[str, dict[str, str]]
    secrets: list[Manifest]
    """Volumes of Secrets and other files that are only read; each is mounted at `mounts[volume name]`."""
    mounts: dict[str, str]
    scratch: str
    """Size of the emptyDir at /tmp."""
    grace_seconds: int
    config_digest: str
    labels: dict[str, str]
    """Further labels of the pod."""
    placement: Placement
    data: list[Manifest] = field(default_factory=list)
    """Volumes that the process writes to, mounted likewise."""


def build_pod_template(plane: Plane, workspace: Workspace) -> Manifest:
    """What the spec's `podTemplate` adds comes first, so that whatever the operator sets wins."""
    template = workspace.placement.template
    return {
        "metadata": {
            "labels": {**(template.labels or {}), **plane.labels, NETWORK_LABEL: plane.network, **workspace.labels},
            "annotations": {**(template.annotations or {}), CONFIG_ANNOTATION: workspace.config_digest},
        },
        "spec": {
            "serviceAccountName": plane.workload,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": workspace.grace_seconds,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **build_placement(plane, workspace.placement),
            "containers": [_container(workspace)],
            "volumes": [
                {"name": "scratch", "emptyDir": {"sizeLimit": workspace.scratch}},
                *workspace.secrets,
                *workspace.data,
            ],
        },
    }


def _container(workspace: Workspace) -> Manifest:
    return {
        "name": workspace.name,
        "image": workspace.image,
        "command": workspace.command,
        # A setting that is wrong, such as a guest image that is not there, then shows in the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": workspace.env,
        "ports": [
            {"name": "http", "containerPort": API_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": workspace.resources,
        # A start may compile the guest: two minutes before the liveness probe counts.
        "startupProbe": _probe("/healthz", period=2, failures=60),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        # The endpoint leaves the Services before the process stops listening.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - a path in the pod, on an emptyDir of its own
            *(
                {"name": volume["name"], "mountPath": workspace.mounts[volume["name"]], "readOnly": True}
                for volume in workspace.secrets
            ),
            *({"name": volume["name"], "mountPath": workspace.mounts[volume["name"]]} for volume in workspace.data),
        ],
    }


def _probe(path: str, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "metrics"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
