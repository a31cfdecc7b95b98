"""Custom resources that the integration tests apply: the files of config/samples, and a small stack to vary."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final

import yaml

from tests.controlplane.kubectl import Object

REPOSITORY: Final = Path(__file__).parents[3]
CRDS: Final = REPOSITORY / "crds"
DEFAULT_INSTALL: Final = REPOSITORY / "config" / "default"
NAMESPACED_INSTALL: Final = REPOSITORY / "config" / "namespaced"
SAMPLES: Final = REPOSITORY / "config" / "samples"
QUICKSTART: Final = SAMPLES / "quickstart.yaml"
API_VERSION: Final = "rlm-operator.dev/v1alpha1"

_SPEC: Final[Object] = {"model": {"name": "gpt-5", "baseURL": "https://api.openai.com/v1"}}


def build_stack(name: str, namespace: str, changes: Object | None = None) -> Object:
    """A stack that needs nothing else in the namespace, with `changes` merged into its spec."""
    return _build("RLMStack", name, namespace, merge(_SPEC, changes or {}))


def build_pool(name: str, namespace: str, spec: Object | None = None) -> Object:
    return _build("SandboxPool", name, namespace, spec or {})


def read_manifests(path: Path) -> list[Object]:
    """The objects of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def merge(base: Object, changes: Object) -> Object:
    """`changes` laid over a copy of `base`, as a JSON merge patch: None removes a field."""
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _build(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
