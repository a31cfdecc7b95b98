"""kubectl as one identity: how tests talk to the API server, which is also how users do."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.controlplane.errors import KubectlError
from tests.controlplane.process import Process

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

TIMEOUT_SECONDS: Final = 60
JSON: Final = ("-o", "json", "--show-managed-fields")


class Kubectl:
    """Runs `executable` with one kubeconfig; never reads or writes the user's own `~/.kube`."""

    def __init__(self, executable: Path, kubeconfig: Path, cache: Path) -> None:
        self._executable = executable
        self.kubeconfig = kubeconfig
        self._cache = cache

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """What the command prints. Raises KubectlError with the API server's words where it fails."""
        options = ("--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self._cache))
        done = subprocess.run(
            [self._executable, *options, *arguments],
            input=stdin or "",
            env={name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise KubectlError(arguments, done.returncode, done.stderr)
        return done.stdout

    def get(self, resource: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None where there is none of that name."""
        said = self.run("get", resource, name, *_scope(namespace), *JSON, "--ignore-not-found")
        return _object(said) if said else None

    def list(self, resources: str, namespace: str | None = None, labels: str | None = None) -> list[Object]:
        """Objects of `resources` (comma-separated) in `namespace`, filtered by a label selector."""
        selector = ("-l", labels) if labels else ()
        items: list[Object] = _object(self.run("get", resources, *_scope(namespace), *selector, *JSON))["items"]
        return items

    def watch(self, resource: str, namespace: str, log: Path) -> Process:
        """A running `kubectl get --watch`; each event is a JSON object in `log`, those of what is there first.

        Whoever calls it stops it.
        """
        options = ("--kubeconfig", self.kubeconfig, "--cache-dir", self._cache)
        wanted = ("get", resource, *_scope(namespace), "--watch", "--output-watch-events", "-o", "json")
        return Process("kubectl", [self._executable, *options, *wanted], log)

    def apply(self, objects: Object | Iterable[Object], *options: str) -> str:
        """`kubectl apply -f -` of one object or several."""
        items = [objects] if isinstance(objects, dict) else list(objects)
        return self.run(
            "apply", *options, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        )

    def patch(self, resource: str, name: str, namespace: str, patch: Mapping[str, Any], *options: str) -> str:
        """A JSON merge patch."""
        return self.run(
            "patch", resource, name, *_scope(namespace), "--type=merge", "-p", json.dumps(patch), *options
        )  # fmt: skip

    def delete(self, resource: str, name: str, namespace: str | None = None) -> str:
        """Deletes without waiting for finalizers or dependents."""
        return self.run("delete", resource, name, *_scope(namespace), "--wait=false")


def _scope(namespace: str | None) -> tuple[str, ...]:
    return ("-n", namespace) if namespace else ()


def _object(text: str) -> Object:
    parsed: Object = json.loads(text)
    return parsed
