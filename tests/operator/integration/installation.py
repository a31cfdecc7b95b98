"""What `kubectl apply -k config/default` puts on a cluster, and whom the operator is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.kubectl import Kubectl, Object
from tests.operator.integration.samples import CRDS, DEFAULT_INSTALL, NAMESPACED_INSTALL

Permission = tuple[str, str, str]
"""API group, resource with its subresource, verb."""


@dataclass(frozen=True)
class Installation:
    """The installed operator's Deployment, as applied."""

    deployment: Object

    @property
    def namespace(self) -> str:
        namespace: str = self.deployment["metadata"]["namespace"]
        return namespace

    @property
    def service_account(self) -> str:
        name: str = self.deployment["spec"]["template"]["spec"]["serviceAccountName"]
        return name

    @property
    def user(self) -> str:
        """Its name as the API server sees it."""
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"

    def permissions(self, admin: Kubectl) -> set[Permission]:
        """What RBAC grants to the operator's account by name."""
        granted: set[Permission] = set()
        for binding in admin.list("clusterrolebindings") + admin.list("rolebindings", self.namespace):
            if self._is_for_operator(binding):
                role = binding["roleRef"]
                scope = self.namespace if role["kind"] == "Role" else None
                found = admin.get(role["kind"].lower(), role["name"], scope)
                assert found is not None, role
                granted |= {permission for rule in found["rules"] for permission in _permissions(rule)}
        return granted

    def _is_for_operator(self, binding: Object) -> bool:
        return any(
            subject["kind"] == "ServiceAccount"
            and (subject.get("namespace"), subject["name"]) == (self.namespace, self.service_account)
            for subject in binding.get("subjects", [])
        )


def install(control_plane: ControlPlane) -> Installation:
    """Applies config/default and waits until its custom resources are served."""
    installation = _apply(control_plane, DEFAULT_INSTALL)
    control_plane.admin.run("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    return installation


def install_namespaced(control_plane: ControlPlane) -> Installation:
    """Applies config/namespaced, into a namespace that exists."""
    return _apply(control_plane, NAMESPACED_INSTALL)


def _apply(control_plane: ControlPlane, folder: Path) -> Installation:
    control_plane.admin.run("apply", "-k", str(folder))
    manifests = yaml.safe_load_all(control_plane.admin.run("kustomize", str(folder)))
    [deployment] = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    return Installation(deployment)


def _permissions(rule: Object) -> set[Permission]:
    return {
        (group, resource, verb)
        for group in rule.get("apiGroups", [])
        for resource in rule.get("resources", [])
        for verb in rule["verbs"]
    }
