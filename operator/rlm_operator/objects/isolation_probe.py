"""Jobs of the isolation probe: three pods that try the network from where a sandbox, a stranger and a caller stand.

They run the sandbox's image under the pool's own restrictions and scheduling. Their component is one of its own, so no
Service, PodDisruptionBudget or autoscaler counts them; only the network labels are those of the role.
"""

from __future__ import annotations

from typing import Final

from rlm_operator.isolation.verdict import CLIENT_ROLE, POOL_TARGET, ROLES, SANDBOX_ROLE, STRANGER_ROLE
from rlm_operator.names import API_PORT, FIELD_MANAGER, GROUP, MANAGED_BY_LABEL, NETWORK_LABEL, POOL_LABEL
from rlm_operator.objects.owner import Plane
from rlm_operator.resource import Manifest

RUN_LABEL: Final = f"{GROUP}/isolation-run"
ROLE_LABEL: Final = f"{GROUP}/isolation-role"
_COMPONENT: Final = "isolation-probe"
_KEPT: Final = (
    "serviceAccountName",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "securityContext",
    "nodeSelector",
    "tolerations",
    "imagePullSecrets",
    "runtimeClassName",
    "priorityClassName",
)
_LONGEST_SECONDS: Final = 180
_RESOURCES: Final = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}


def probe_job_name(plane: Plane, run: str, role: str) -> str:
    return f"{plane.workload}-probe-{run}-{role}"


def build_probe_jobs(
    plane: Plane, run: str, deployment: Manifest, service_address: str, llm: dict[str, str]
) -> list[Manifest]:
    """`deployment`: the pool's own, whose pods are copied from; `service_address`: ClusterIP of the pool's Service;
    `llm`: further outside targets, `HOST:PORT` by name."""
    pool = f"{POOL_TARGET}={_bracketed(service_address)}:{API_PORT}"
    arguments = {
        SANDBOX_ROLE: ["--outside=closed", *(f"--closed={name}={address}" for name, address in sorted(llm.items()))],
        # The outside only shows what there is to reach without the policy.
        STRANGER_ROLE: ["--outside=any", f"--closed={pool}"],
        CLIENT_ROLE: [f"--open={pool}"],
    }
    labels: dict[str, dict[str, str]] = {
        SANDBOX_ROLE: {NETWORK_LABEL: plane.network},
        STRANGER_ROLE: {},
        CLIENT_ROLE: {POOL_LABEL: plane.instance},
    }
    return [_job(plane, run, role, deployment, arguments[role], labels[role]) for role in ROLES]


def _job(
    plane: Plane, run: str, role: str, deployment: Manifest, arguments: list[str], network: dict[str, str]
) -> Manifest:
    template = deployment["spec"]["template"]["spec"]
    container = template["containers"][0]
    common = {
        "app.kubernetes.io/name": _COMPONENT,
        "app.kubernetes.io/instance": plane.instance,
        "app.kubernetes.io/component": _COMPONENT,
        "app.kubernetes.io/part-of": "rlm-operator",
        MANAGED_BY_LABEL: FIELD_MANAGER,
        RUN_LABEL: run,
        ROLE_LABEL: role,
    }
    pod = {
        **{key: template[key] for key in _KEPT if key in template},
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "probe",
                "image": container["image"],
                "command": ["python", "-m", "runtime.sandbox.isolation_probe"],
                "args": arguments,
                "resources": _RESOURCES,
                "securityContext": container["securityContext"],
            }
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": probe_job_name(plane, run, role), "namespace": plane.namespace, "labels": common},
        "spec": {
            "activeDeadlineSeconds": _LONGEST_SECONDS,
            "backoffLimit": 2,
            "ttlSecondsAfterFinished": 3600,  # should the operator be away
            "template": {"metadata": {"labels": {**common, **network}}, "spec": pod},
        },
    }


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
