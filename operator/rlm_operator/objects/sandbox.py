"""The sandbox plane's container: its settings and the keys of its callers, and no other key (design record 0001)."""

from __future__ import annotations

import math

from rlm_operator.digest import digest
from rlm_operator.names import API_PORT, INFERENCE, METRICS_PORT, POOL_LABEL
from rlm_operator.objects.config_map import build_settings_env, sandbox_settings
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.placement import Placement
from rlm_operator.objects.pod import Workspace
from rlm_operator.objects.secret import build_secret_volume
from rlm_operator.objects.tls import SERVER_DIR, SERVER_VOLUME, build_server_env, build_server_volumes
from rlm_operator.resource import Manifest, Pool

_API_KEYS = "api-keys"
_API_KEYS_DIR = "/etc/rlm/api-keys"


def build_sandbox_workspace(plane: Plane, pool: Pool, image: str) -> Workspace:
    settings = sandbox_settings(pool.spec)
    return Workspace(
        name="sandbox",
        image=image,
        command=["python", "-m", "runtime.sandbox"],
        env=[*_addresses(), *build_server_env(pool.spec.tls), *build_settings_env(plane.workload, "SANDBOX", settings)],
        resources=pool.spec.resources.filled(),
        secrets=[build_secret_volume(_API_KEYS, pool.key_secret), *build_server_volumes(pool)],
        mounts={_API_KEYS: _API_KEYS_DIR, SERVER_VOLUME: SERVER_DIR},
        scratch="512Mi",  # a guest that is compiled at start takes half of it
        # The longest cell may end, and then some.
        grace_seconds=math.ceil(pool.spec.limits.timeout.seconds) + 30,
        config_digest=digest(settings),
        labels={},
        placement=Placement(pool.spec.pod_template, _near_inference(pool), pool.spec.scheduling),
    )


def _addresses() -> list[Manifest]:
    values = {
        "SANDBOX_HOST": "0.0.0.0",
        "SANDBOX_PORT": str(API_PORT),
        "SANDBOX_METRICS_PORT": str(METRICS_PORT),
        "SANDBOX_API_KEYS_DIR": _API_KEYS_DIR,
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def _near_inference(pool: Pool) -> tuple[Manifest, ...]:
    """Every cell is a round trip from an inference pod: prefer their zone."""
    if not pool.spec.scheduling.co_locate_with_inference:
        return ()
    callers = {"matchLabels": {"app.kubernetes.io/component": INFERENCE, POOL_LABEL: pool.identity.name}}
    term = {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": callers}
    return ({"weight": 10, "podAffinityTerm": term},)
