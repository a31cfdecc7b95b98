"""A metrics API of our own, registered with the API server: what the real autoscaler controller reads of pods.

It serves metrics.k8s.io (CPU use) and custom.metrics.k8s.io (one gauge of pods) over TLS on loopback, which the API
server reaches through a Service of type ExternalName. Every ready pod uses as much as `cpu` and `gauge` say; nothing
else of the real servers is there.
"""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import KubectlError
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Kubectl, Object
from tests.ports import free_port

GROUPS: Final = {"metrics.k8s.io": "v1beta1", "custom.metrics.k8s.io": "v1beta2"}
_SERVICE: Final = {"name": "metrics-stand-in", "namespace": "kube-system"}


class MetricsApi:
    """`cpu` in millicores and `gauge` are what each ready pod reports; `gauge_name` is the only gauge."""

    def __init__(self, admin: Kubectl, gauge_name: str) -> None:
        self.cpu = 0
        self.gauge = 0
        self.gauge_name = gauge_name
        self._admin = admin

    def answer(self, path: str) -> Object | None:
        """The body for a GET, None for 404."""
        parts = urlsplit(path)
        steps = unquote(parts.path).strip("/").split("/")
        group = steps[1] if len(steps) > 2 and steps[0] == "apis" else ""
        if GROUPS.get(group) != (steps[2] if len(steps) > 2 else ""):
            return None
        version = f"{group}/{steps[2]}"
        if len(steps) == 3:
            return self._resources(version, group)
        selector = parse_qs(parts.query).get("labelSelector", [""])[0]
        pods = self._ready_pods(namespace=steps[4], selector=selector)
        if group == "metrics.k8s.io":
            return {"kind": "PodMetricsList", "apiVersion": version, "metadata": {}, "items": self._use(pods)}
        if steps[5:] != ["pods", "*", self.gauge_name]:
            return None
        return {"kind": "MetricValueList", "apiVersion": version, "metadata": {}, "items": self._values(pods)}

    def _resources(self, version: str, group: str) -> Object:
        custom = group == "custom.metrics.k8s.io"
        name, kind = (f"pods/{self.gauge_name}", "MetricValueList") if custom else ("pods", "PodMetrics")
        resource = {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource]}

    def _ready_pods(self, namespace: str, selector: str) -> list[Object]:
        pods = self._admin.list("pods", namespace, selector)
        return [pod for pod in pods if pod["status"].get("phase") == "Running"]

    def _use(self, pods: list[Object]) -> list[Object]:
        return [
            {
                "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "labels")},
                "timestamp": _now(),
                "window": "10s",
                "containers": [
                    {"name": container["name"], "usage": {"cpu": f"{self.cpu}m", "memory": "1Mi"}}
                    for container in pod["spec"]["containers"]
                ],
            }
            for pod in pods
        ]

    def _values(self, pods: list[Object]) -> list[Object]:
        return [
            {
                "describedObject": {"kind": "Pod", "apiVersion": "v1", **_SERVICE, "name": pod["metadata"]["name"]},
                "metric": {"name": self.gauge_name},
                "timestamp": _now(),
                "value": str(self.gauge),
            }
            for pod in pods
        ]


@contextmanager
def serve_metrics(control_plane: ControlPlane, gauge_name: str) -> Iterator[MetricsApi]:
    """Registered with the API server, and available, inside the block; gone after it."""
    admin = control_plane.admin
    api, port = MetricsApi(admin, gauge_name), free_port()
    certificate = control_plane.serving_certificate("metrics-stand-in", ("DNS:localhost",))
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(api))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, name="metrics-stand-in", daemon=True)
    thread.start()
    objects = [_service(), *(_registration(group, port) for group in GROUPS)]
    try:
        admin.apply(objects)
        eventually(lambda: all(_answers(admin, group) for group in GROUPS), "the metrics APIs being served")
        yield api
    finally:
        for group in GROUPS:
            admin.delete("apiservice", f"{GROUPS[group]}.{group}")
        admin.delete("service", _SERVICE["name"], _SERVICE["namespace"])
        server.shutdown()
        server.server_close()


def _handler(api: MetricsApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = api.answer(self.path)
            body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "code": 404}).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the standard library
            """Says nothing."""

    return Handler


def _answers(admin: Kubectl, group: str) -> bool:
    try:
        return bool(admin.run("get", "--raw", f"/apis/{group}/{GROUPS[group]}"))
    except KubectlError:
        return False


def _service() -> Object:
    spec = {"type": "ExternalName", "externalName": "localhost"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": dict(_SERVICE), "spec": spec}


def _registration(group: str, port: int) -> Object:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{GROUPS[group]}.{group}"},
        "spec": {
            "group": group,
            "version": GROUPS[group],
            "service": {**_SERVICE, "port": port},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
