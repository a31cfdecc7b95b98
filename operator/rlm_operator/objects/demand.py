"""Where KEDA reads how many sessions a pool's stacks want: a Service over their inference pods, and the way to it.

The Service belongs to the pool and selects by the label that inference pods carry for their pool, so it covers every
stack that uses it, and those to come. The way is a rule of each stack's own policy: a policy of the pool's over the
same pods would shut everybody else out of a stack whose policy is Unmanaged.
"""

from __future__ import annotations

from typing import Final

from rlm_operator.names import INFERENCE, METRICS_PORT, POOL_LABEL, pool_demand
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest

DEMAND_STATES: Final = ("waiting", "live")
"""Sessions that runs wait for, and that they have."""
_DEMAND_METRIC: Final = "rlm_sandbox_demand"
_KEDA_PODS: Final = {"app": "keda-operator"}
"""Label that both KEDA's manifests and its Helm chart give to the pods that read triggers."""


def demand_url(plane: Plane) -> str:
    """KEDA takes the port for that of the pods."""
    return f"http://{pool_demand(plane.instance)}.{plane.namespace}.svc:{METRICS_PORT}/metrics"


def demand_location(state: str) -> str:
    """The gauge among the metrics of an inference pod."""
    return f'{_DEMAND_METRIC}{{state="{state}"}}'


def build_demand_service(plane: Plane) -> Manifest:
    """Headless: nothing connects to it, KEDA looks up its endpoints and asks each."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": build_metadata(plane, pool_demand(plane.instance)),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            # A pod that is not ready, for want of a sandbox say, may be the one whose runs wait.
            "publishNotReadyAddresses": True,
            "selector": {"app.kubernetes.io/component": INFERENCE, POOL_LABEL: plane.instance},
            "ports": [{"name": "metrics", "port": METRICS_PORT, "protocol": "TCP", "targetPort": METRICS_PORT}],
        },
    }


def build_demand_ingress(keda_namespace: str) -> Manifest:
    """Rule of an inference pod's policy: lets KEDA read its metrics."""
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": keda_namespace}}
    keda = {"namespaceSelector": namespace, "podSelector": {"matchLabels": _KEDA_PODS}}
    return {"from": [keda], "ports": [{"protocol": "TCP", "port": METRICS_PORT}]}
