"""The part of a kubelet and a scheduler that the control plane lacks: writes the status of pods as they would.

The controller manager makes real ReplicaSets and pods; nothing runs them, so a test says what became of each.
"""

from __future__ import annotations

from typing import Final

from tests.controlplane.errors import KubectlError
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.operator.integration.tenant import Tenant

SCHEDULED: Final[Object] = {"type": "PodScheduled", "status": "True"}
NOT_READY: Final[Object] = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}
RUNNING: Final[Object] = {"phase": "Running", "conditions": [SCHEDULED, {"type": "Ready", "status": "True"}]}
UNSCHEDULABLE: Final[Object] = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient memory.",
        }
    ],
}
EVICTED: Final[Object] = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": "The node was low on resource: ephemeral-storage.",
}


def waiting(reason: str, message: str, ended: Object | None = None) -> Object:
    """A container that does not start; `ended`: how its last attempt did."""
    container: Object = {
        "name": "sandbox",
        "image": "image:1",
        "imageID": "",
        "ready": False,
        "restartCount": 3 if ended else 0,
        "state": {"waiting": {"reason": reason, "message": message}},
    }
    if ended:
        container["lastState"] = {"terminated": ended}
    return {"phase": "Pending", "conditions": [SCHEDULED, NOT_READY], "containerStatuses": [container]}


class Kubelet:
    """Of every pod of one Deployment."""

    def __init__(self, tenant: Tenant, deployment: str) -> None:
        self._tenant = tenant
        self._deployment = deployment

    def pods(self) -> dict[str, Object]:
        """Those that are not being deleted, by name."""
        selector = self._tenant.expect("deployment", self._deployment)["spec"]["selector"]["matchLabels"]
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        found = self._tenant.kubectl.list("pods", self._tenant.namespace, labels)
        return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}

    def new_pods(self, count: int, old: set[str]) -> set[str]:
        """The pods that are not in `old`, once there are `count`."""

        def are_there() -> set[str]:
            found = set(self.pods()) - old
            return found if len(found) == count else set()

        return eventually(are_there, f"{count} new pods of {self._deployment}")

    def report(self, pods: set[str], status: Object) -> None:
        """Writes this status, whatever the pod had before."""
        for name in pods:
            try:
                self._tenant.kubectl.patch(
                    "pod", name, self._tenant.namespace, {"status": status}, "--subresource=status"
                )
            except KubectlError as error:
                if "not found" not in error.stderr:
                    raise
