"""What an inference pod mounts: keys, the file of tools, authorities, the storage's credentials and its claim.

Each volume has a path, and all but the claim a variable that tells the process (design record 0001).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rlm_operator.names import API_KEY, stack_key_secret
from rlm_operator.objects.inference_settings import DATA_DIR
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.secret import build_secret_volume
from rlm_operator.objects.tls import CLIENT_DIR, CLIENT_VOLUME
from rlm_operator.objects.tools import TOOLS_DIR, TOOLS_FILE, TOOLS_VOLUME, build_tools_volume
from rlm_operator.resource import Manifest, Stack
from rlm_operator.spec.model import ConfigMapKeyRef

_CA_FILE: Final = "ca.crt"


class _Place(NamedTuple):
    """Where a volume is mounted; `variable` holds the path of `file` in it, or its own."""

    path: str
    variable: str
    file: str = ""


_PLACES: Final = {
    "api-keys": _Place("/etc/rlm/api-keys", "RLM_API_KEYS_DIR"),
    "model-key": _Place("/etc/rlm/llm", "RLM_MODEL_API_KEY_FILE", API_KEY),
    "sub-model-key": _Place("/etc/rlm/sub-llm", "RLM_SUB_MODEL_API_KEY_FILE", API_KEY),
    "model-ca": _Place("/etc/rlm/llm-ca", "RLM_MODEL_CA_FILE", _CA_FILE),
    "sub-model-ca": _Place("/etc/rlm/sub-llm-ca", "RLM_SUB_MODEL_CA_FILE", _CA_FILE),
    TOOLS_VOLUME: _Place(TOOLS_DIR, "RLM_TOOLS_FILE", TOOLS_FILE),
    "storage-config": _Place("/etc/rlm/storage", "RLM_STORAGE_CONFIG_DIR"),
    CLIENT_VOLUME: _Place(CLIENT_DIR, "WASM_TLS_DIR"),
    "sandbox-key": _Place("/etc/rlm/sandbox", "WASM_API_KEY_FILE", API_KEY),
}
MOUNTS: Final = {**{name: place.path for name, place in _PLACES.items()}, "data": DATA_DIR}
"""Path of each volume, by its name."""


def build_inference_volumes(plane: Plane, stack: Stack, sandbox_secret: str) -> list[Manifest]:
    """Those that are only read. `sandbox_secret`: the Secret with the pool's key."""
    spec, sub = stack.spec, stack.spec.sub_model
    users = user_key_secret(stack)
    volumes = [build_secret_volume("api-keys", users)] if users else []
    if key := spec.model.api_key_secret_ref:
        volumes.append(build_secret_volume("model-key", key.name, key.key))
    if sub and (key := sub.api_key_secret_ref):
        volumes.append(build_secret_volume("sub-model-key", key.name, key.key))
    if bundle := spec.model.ca_bundle_ref:
        volumes.append(_authorities("model-ca", bundle))
    if sub and (bundle := sub.ca_bundle_ref):
        volumes.append(_authorities("sub-model-ca", bundle))
    if spec.tools.functions:
        volumes.append(build_tools_volume(plane, spec.tools))
    if (store := spec.storage.object_store) and store.secret_ref:
        volumes.append(build_secret_volume("storage-config", store.secret_ref.name))
    return [*volumes, build_secret_volume("sandbox-key", sandbox_secret, API_KEY)]


def build_data_volumes(stack: Stack) -> list[Manifest]:
    """Those that are written: the claim of the storage, if there is one."""
    claim = stack.spec.storage.persistent_volume_claim
    return [{"name": "data", "persistentVolumeClaim": {"claimName": claim.claim_name}}] if claim else []


def file_variables(volumes: list[Manifest]) -> list[Manifest]:
    """Variables with the paths of what is mounted; the volume decides whether a variable is there."""
    present = {volume["name"] for volume in volumes}
    return [
        {"name": place.variable, "value": f"{place.path}/{place.file}".rstrip("/")}
        for name, place in _PLACES.items()
        if name in present
    ]


def user_key_secret(stack: Stack) -> str | None:
    """Secret with the keys of the endpoint's callers; None when they need none."""
    auth = stack.spec.inference.auth
    if auth.mode == "Disabled":
        return None
    return auth.secret_ref.name if auth.secret_ref else stack_key_secret(stack.identity.name)


def _authorities(name: str, bundle: ConfigMapKeyRef) -> Manifest:
    return {"name": name, "configMap": {"name": bundle.name, "items": [{"key": bundle.key, "path": _CA_FILE}]}}
