"""Ingress and HTTPRoute in front of a stack's Service, made for answers that stream for minutes."""

from __future__ import annotations

from typing import Final

from rlm_operator.kinds import APIS
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.exposure import HTTPRouteSettings, IngressSettings

_FOR_STREAMS: Final = {
    # ingress-nginx buffers replies, cuts them after 60 s of silence and refuses bodies above 1 MB.
    "nginx.ingress.kubernetes.io/proxy-body-size": "256m",
    "nginx.ingress.kubernetes.io/proxy-buffering": "off",
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
    "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
    # AWS load balancers cut connections after 60 s of silence; HAProxy's controller after 50 s.
    "alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=3600",
    "haproxy.org/timeout-server": "1h",
}
"""What controllers need in order to leave streams alone; each reads its own and ignores the others'."""


def build_ingress(plane: Plane, settings: IngressSettings, port: int) -> Manifest:
    """`port`: of the stack's Service. What the spec annotates wins over the defaults for streams."""
    backend = {"service": {"name": plane.instance, "port": {"number": port}}}
    spec: Manifest = {
        "rules": [{"host": settings.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    }
    if settings.class_name:
        spec["ingressClassName"] = settings.class_name
    if settings.tls_secret_ref:
        spec["tls"] = [{"hosts": [settings.host], "secretName": settings.tls_secret_ref.name}]
    annotations = {**_FOR_STREAMS, **(settings.annotations or {})}
    return _route("Ingress", {**build_metadata(plane), "annotations": annotations}, spec)


def build_http_route(plane: Plane, settings: HTTPRouteSettings, port: int) -> Manifest:
    """Timeouts of 0s: the stack ends its runs itself."""
    gateway = settings.gateway_ref.model_dump(mode="json", by_alias=True, exclude_none=True)
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": plane.instance, "port": port}],
        "timeouts": {"request": "0s", "backendRequest": "0s"},
    }
    annotations = {"annotations": settings.annotations} if settings.annotations else {}
    spec = {"parentRefs": [gateway], "hostnames": [settings.host], "rules": [rule]}
    return _route("HTTPRoute", {**build_metadata(plane), **annotations}, spec)


def _route(kind: str, metadata: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": APIS[kind].version, "kind": kind, "metadata": metadata, "spec": spec}
