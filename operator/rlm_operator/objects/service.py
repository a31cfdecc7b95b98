"""Services: the endpoint of a stack, the address of a pool, and one address per pod of each."""

from __future__ import annotations

from rlm_operator.names import API_PORT, pool_pods_service, stack_pods_service
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.exposure import ServiceSettings


def build_endpoint_service(plane: Plane, settings: ServiceSettings) -> Manifest:
    """The Service that users call; named like the stack."""
    annotations = {"annotations": settings.annotations} if settings.annotations else {}
    return _service(
        {**build_metadata(plane, plane.instance), **annotations},
        {"type": settings.type, "selector": plane.selector, "ports": [_port(settings.port)]},
    )


def build_stack_pods_service(plane: Plane) -> Manifest:
    """Headless: resolves to the addresses of all pods. What a pod keeps, it alone can answer for, also while it drains
    and is not ready any more."""
    headless = {"type": "ClusterIP", "clusterIP": "None", "publishNotReadyAddresses": True}
    return _service(
        build_metadata(plane, stack_pods_service(plane.instance)),
        {**headless, "selector": plane.selector, "ports": [_port(API_PORT)]},
    )


def build_pool_service(plane: Plane, alias: str | None = None) -> Manifest:
    """Sessions live in one pod, so calls of one client address go to one pod. `alias`: a further name for it."""
    return _service(
        build_metadata(plane, alias),
        {"type": "ClusterIP", "selector": plane.selector, "sessionAffinity": "ClientIP", "ports": [_port(API_PORT)]},
    )


def build_pool_pods_service(plane: Plane) -> Manifest:
    """Headless: resolves to the addresses of the ready pods."""
    return _service(
        build_metadata(plane, pool_pods_service(plane.instance)),
        {"type": "ClusterIP", "clusterIP": "None", "selector": plane.selector, "ports": [_port(API_PORT)]},
    )


def _service(metadata: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _port(port: int) -> Manifest:
    return {"name": "http", "port": port, "protocol": "TCP", "targetPort": "http"}
