"""The pods of the isolation probe, run as a node's kubelet would: they end, and leave a report."""

from __future__ import annotations

import json

from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.tenant import Tenant

RUN = "rlm-operator.dev/isolation-run"
ROLE = "rlm-operator.dev/isolation-role"
OUTSIDE = ("api-server", "dns", "internet", "metadata")
ISOLATED = {"sandbox": (), "stranger": OUTSIDE, "client": ("sandbox",)}


def expect_probe_pods(tenant: Tenant) -> dict[str, Object]:
    """Pods of the run under way that have not ended, by role, once there are three."""
    seen: dict[str, Object] = {}

    def are_there() -> bool:
        pods = tenant.kubectl.list("pods", tenant.namespace, RUN)
        running = [pod for pod in pods if pod["status"].get("phase") == "Pending" and not is_deleting(pod)]
        seen.clear()
        seen.update({pod["metadata"]["labels"][ROLE]: pod for pod in running})
        return set(seen) == set(ISOLATED)

    eventually(are_there, "three pods of a probe")
    return seen


def finish_probe(tenant: Tenant, reached: dict[str, tuple[str, ...]]) -> dict[str, Object]:
    """Ends the pods of the run under way with reports of what each role reached; returns them as they were."""
    pods = expect_probe_pods(tenant)
    for role, pod in pods.items():
        message = json.dumps({"reached": sorted(reached[role]), "tried": list(OUTSIDE)})
        terminated = {"exitCode": 0, "reason": "Completed", "message": message}
        container = {
            "name": "probe",
            "ready": False,
            "restartCount": 0,
            "image": "probe",
            "imageID": "",
            "state": {"terminated": terminated},
        }
        status = {"status": {"phase": "Succeeded", "containerStatuses": [container]}}
        tenant.kubectl.patch("pod", pod["metadata"]["name"], tenant.namespace, status, "--subresource=status")
    return pods


def is_deleting(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
