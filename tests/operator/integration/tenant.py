"""One namespace as its user sees it: applies custom resources, and looks at what the operator made of them.

Pods must be `restricted` in it, so a pod that the operator builds too freely is never created. Without a kubelet pods
do not run: `make_pods_ready` writes the pod status that a kubelet would, and the control plane's controllers go on from
there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.controlplane.cluster import ControlPlane, create_namespace
from tests.controlplane.errors import KubectlError
from tests.controlplane.eventually import TIMEOUT_SECONDS, eventually
from tests.controlplane.kubectl import Kubectl, Object

CHILD_RESOURCES: Final = (
    "serviceaccounts,configmaps,secrets,services,deployments.apps,networkpolicies.networking.k8s.io,"
    "ingresses.networking.k8s.io,"
    "poddisruptionbudgets.policy,horizontalpodautoscalers.autoscaling,sandboxpools.rlm-operator.dev"
)
MANAGED: Final = "app.kubernetes.io/managed-by=rlm-operator"

Child = tuple[str, str]
"""Kind and name."""


class Tenant:
    """A namespace and an administrator's kubectl."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.namespace = create_namespace(control_plane.admin, namespace)
        self.kubectl: Kubectl = control_plane.admin
        self.kubectl.run("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")

    def apply(self, *manifests: Object) -> None:
        self.kubectl.apply(manifests, "-n", self.namespace)

    def apply_file(self, path: Path) -> None:
        self.kubectl.run("apply", "-n", self.namespace, "-f", str(path))

    def get(self, resource: str, name: str) -> Object | None:
        return self.kubectl.get(resource, name, self.namespace)

    def expect(self, resource: str, name: str) -> Object:
        """The object, once it is there."""
        found = eventually(lambda: self.get(resource, name), f"{resource} {name}")
        assert found is not None
        return found

    def expect_gone(self, resource: str, name: str) -> None:
        eventually(lambda: self.get(resource, name) is None, f"{resource} {name} being gone")

    def expect_another(self, resource: str, name: str, uid: str, timeout: float = TIMEOUT_SECONDS) -> None:
        """An object of that name with another uid: made anew."""

        def is_another() -> bool:
            found = self.get(resource, name)
            return found is not None and found["metadata"]["uid"] != uid

        eventually(is_another, f"another {resource} {name}", timeout)

    def patch(self, resource: str, name: str, patch: Object) -> None:
        self.kubectl.patch(resource, name, self.namespace, patch)

    def delete(self, resource: str, name: str) -> None:
        self.kubectl.delete(resource, name, self.namespace)

    def create_secret(self, name: str, **entries: str) -> None:
        literals = [f"--from-literal={key.replace('_', '-')}={value}" for key, value in entries.items()]
        self.kubectl.run("create", "secret", "generic", name, "-n", self.namespace, *literals)

    def children(self) -> dict[Child, Object]:
        """Every object that carries the operator's managed-by label."""
        found = self.kubectl.list(CHILD_RESOURCES, self.namespace, MANAGED)
        return {(child["kind"], child["metadata"]["name"]): child for child in found}

    def expect_children(self, wanted: set[Child]) -> dict[Child, Object]:
        """The children, once they are exactly `wanted`."""
        seen: dict[Child, Object] = {}

        def are_there() -> bool:
            seen.clear()
            seen.update(self.children())
            return set(seen) == wanted

        try:
            eventually(are_there, "the children")
        except AssertionError as error:
            missing, unwanted = wanted - set(seen), set(seen) - wanted
            raise AssertionError(f"missing: {sorted(missing)}; not wanted: {sorted(unwanted)}") from error
        return seen

    def condition(self, resource: str, name: str, kind: str) -> Object | None:
        """One condition of a custom resource, if it speaks of the current generation."""
        found = self.get(resource, name)
        if found is None:
            return None
        conditions = found.get("status", {}).get("conditions", [])
        [*same] = [condition for condition in conditions if condition["type"] == kind]
        is_current = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
        return same[0] if same and is_current else None

    def expect_condition(
        self, resource: str, name: str, kind: str, status: str, timeout: float = TIMEOUT_SECONDS, *, says: str = ""
    ) -> Object:
        """The condition, once it has `status` and its message contains `says`."""
        seen: Object = {}

        def holds() -> bool:
            seen.clear()
            seen.update(self.condition(resource, name, kind) or {})
            return seen.get("status") == status and says in seen["message"]

        try:
            eventually(holds, f"{kind}={status} of {resource} {name}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen} in {self.get(resource, name)}") from error
        return seen

    def make_pods_ready(self, deployment: str, count: int) -> None:
        """Waits for the Deployment's pods and reports each as ready, as the kubelet of a node would."""
        selector = self.expect("deployment", deployment)["spec"]["selector"]["matchLabels"]
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        seen: list[Object] = []

        def are_there() -> bool:
            seen[:] = self.kubectl.list("pods", self.namespace, labels)
            return len(seen) == count

        eventually(are_there, f"{count} pods of {deployment}")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": seen[0]["metadata"]["creationTimestamp"]}
        status = {"status": {"phase": "Running", "startTime": ready["lastTransitionTime"], "conditions": [ready]}}
        for pod in seen:
            try:
                self.kubectl.patch("pod", pod["metadata"]["name"], self.namespace, status, "--subresource=status")
            except KubectlError as error:
                if "not found" not in error.stderr:
                    raise
