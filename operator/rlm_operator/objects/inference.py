"""The inference plane's container: which settings, keys and addresses it gets (design record 0001)."""

from __future__ import annotations

from rlm_operator.digest import digest
from rlm_operator.inputs import PoolTerms
from rlm_operator.names import API_PORT, METRICS_PORT, POOL_LABEL, pool_pods_url, stack_pods_url
from rlm_operator.objects.config_map import build_settings_env
from rlm_operator.objects.inference_settings import inference_settings
from rlm_operator.objects.inference_volumes import MOUNTS, build_data_volumes, build_inference_volumes, file_variables
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.placement import Placement
from rlm_operator.objects.pod import Workspace
from rlm_operator.objects.tls import build_client_volumes
from rlm_operator.objects.tools import tools_file
from rlm_operator.resource import Manifest, Stack
from rlm_operator.spec.scheduling import Scheduling


def build_inference_workspace(
    plane: Plane, stack: Stack, image: str, sandbox_secret: str, terms: PoolTerms
) -> Workspace:
    """`sandbox_secret`: the Secret with the stack's key of its pool."""
    settings = inference_settings(stack.spec)
    volumes = [*build_inference_volumes(plane, stack, sandbox_secret), *build_client_volumes(stack, terms)]
    tools = stack.spec.tools
    return Workspace(
        name="inference",
        image=image,
        command=["python", "-m", "runtime.inference"],
        env=[
            *_addresses(stack, tls=terms.tls.mode != "Disabled"),
            *file_variables(volumes),
            *build_settings_env(plane.workload, "RLM", settings),
        ],
        resources=stack.spec.inference.resources.filled(),
        secrets=volumes,
        data=build_data_volumes(stack),
        mounts=MOUNTS,
        scratch="1Gi",
        grace_seconds=stack.spec.inference.termination_grace_period_seconds,
        config_digest=digest([settings, tools_file(tools)] if tools.functions else settings),
        labels={POOL_LABEL: stack.pool_name},
        placement=Placement(stack.spec.inference.pod_template, (), Scheduling()),
    )


def _addresses(stack: Stack, *, tls: bool) -> list[Manifest]:
    values = {
        "RLM_HOST": "0.0.0.0",
        "RLM_PORT": str(API_PORT),
        "RLM_METRICS_PORT": str(METRICS_PORT),
        "RLM_PEERS_URL": stack_pods_url(stack.identity.name, stack.identity.namespace),
        "WASM_SERVICE_URL": pool_pods_url(stack.pool_name, stack.pool_namespace, tls=tls),
    }
    return [{"name": name, "value": value} for name, value in values.items()]
