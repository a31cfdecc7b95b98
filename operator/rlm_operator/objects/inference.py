"""The inference plane's container: which settings, keys and addresses it gets (design record 0001)."""

from __future__ import annotations

from rlm_operator.digest import digest
from rlm_operator.names import (
    API_KEY,
    API_PORT,
    METRICS_PORT,
    POOL_LABEL,
    pool_pods_url,
    stack_key_secret,
    stack_pods_url,
)
from rlm_operator.objects.config_map import build_settings_env, inference_settings
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.placement import Placement
from rlm_operator.objects.pod import Workspace
from rlm_operator.objects.secret import build_secret_volume
from rlm_operator.objects.tools import TOOLS_DIR, TOOLS_FILE, TOOLS_VOLUME, build_tools_volume, tools_file
from rlm_operator.resource import Manifest, Stack
from rlm_operator.spec.scheduling import Scheduling

_API_KEYS = "api-keys"
_MODEL_KEY = "model-key"
_SUB_MODEL_KEY = "sub-model-key"
_SANDBOX_KEY = "sandbox-key"
_MOUNTS = {
    _API_KEYS: "/etc/rlm/api-keys",
    _MODEL_KEY: "/etc/rlm/llm",
    _SUB_MODEL_KEY: "/etc/rlm/sub-llm",
    _SANDBOX_KEY: "/etc/rlm/sandbox",
    TOOLS_VOLUME: TOOLS_DIR,
}


def build_inference_workspace(plane: Plane, stack: Stack, image: str, sandbox_secret: str) -> Workspace:
    """`sandbox_secret`: the Secret with the stack's key of its pool."""
    settings = inference_settings(stack.spec)
    secrets = _secret_volumes(stack, sandbox_secret)
    tools = stack.spec.tools
    if tools.functions:
        secrets.append(build_tools_volume(plane, tools))
    return Workspace(
        name="inference",
        image=image,
        command=["python", "-m", "runtime.inference"],
        env=[
            *_addresses(stack),
            *_key_files({volume["name"] for volume in secrets}),
            *build_settings_env(plane.workload, "RLM", settings),
        ],
        resources=stack.spec.inference.resources.filled(),
        secrets=secrets,
        mounts=_MOUNTS,
        scratch="1Gi",
        grace_seconds=stack.spec.inference.termination_grace_period_seconds,
        config_digest=digest([settings, tools_file(tools)] if tools.functions else settings),
        labels={POOL_LABEL: stack.pool_name},
        placement=Placement(stack.spec.inference.pod_template, (), Scheduling()),
    )


def user_key_secret(stack: Stack) -> str | None:
    """Secret with the keys of the endpoint's callers; None when they need none."""
    auth = stack.spec.inference.auth
    if auth.mode == "Disabled":
        return None
    return auth.secret_ref.name if auth.secret_ref else stack_key_secret(stack.identity.name)


def _secret_volumes(stack: Stack, sandbox_secret: str) -> list[Manifest]:
    model, sub = stack.spec.model.api_key_secret_ref, stack.spec.sub_model
    sub_key = sub.api_key_secret_ref if sub else None
    users = user_key_secret(stack)
    volumes = [build_secret_volume(_API_KEYS, users)] if users else []
    if model:
        volumes.append(build_secret_volume(_MODEL_KEY, model.name, model.key))
    if sub_key:
        volumes.append(build_secret_volume(_SUB_MODEL_KEY, sub_key.name, sub_key.key))
    return [*volumes, build_secret_volume(_SANDBOX_KEY, sandbox_secret, API_KEY)]


def _addresses(stack: Stack) -> list[Manifest]:
    values = {
        "RLM_HOST": "0.0.0.0",
        "RLM_PORT": str(API_PORT),
        "RLM_METRICS_PORT": str(METRICS_PORT),
        "RLM_PEERS_URL": stack_pods_url(stack.identity.name, stack.identity.namespace),
        "WASM_SERVICE_URL": pool_pods_url(stack.pool_name, stack.pool_namespace),
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def _key_files(volumes: set[str]) -> list[Manifest]:
    """Variables that name the mounted files; the volume decides whether a variable is there."""
    paths = {
        _API_KEYS: ("RLM_API_KEYS_DIR", _MOUNTS[_API_KEYS]),
        _MODEL_KEY: ("RLM_MODEL_API_KEY_FILE", f"{_MOUNTS[_MODEL_KEY]}/{API_KEY}"),
        _SUB_MODEL_KEY: ("RLM_SUB_MODEL_API_KEY_FILE", f"{_MOUNTS[_SUB_MODEL_KEY]}/{API_KEY}"),
        TOOLS_VOLUME: ("RLM_TOOLS_FILE", f"{TOOLS_DIR}/{TOOLS_FILE}"),
        _SANDBOX_KEY: ("WASM_API_KEY_FILE", f"{_MOUNTS[_SANDBOX_KEY]}/{API_KEY}"),
    }
    return [{"name": name, "value": path} for volume, (name, path) in paths.items() if volume in volumes]
