"""The door to the Kubernetes API, and the only module that imports the Kubernetes client.

The client library gives configuration (kubeconfig, in-cluster account, exec plugins), TLS and tokens that are re-read;
objects stay plain JSON, because its typed models cost 25 MB and a second for nothing that we need. Everything that goes
wrong leaves as an ApiError.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.config import incluster_config, kube_config
from kubernetes.aio.config.config_exception import ConfigException

from rlm_operator.api import Listing
from rlm_operator.errors import (
    ApiError,
    ClusterConfigError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from rlm_operator.kinds import APIS, Ref, ref_of
from rlm_operator.names import FIELD_MANAGER
from rlm_operator.resource import Manifest
from rlm_operator.tracing import Tracing, end_request

_TIMEOUT_SECONDS: Final = 10
PAGE_SIZE: Final = 100
"""Of lists: what is in memory at once. A custom resource with its status takes some 100 KB there."""
_VERSIONS_PAGE_SIZE: Final = 500
_LONGEST_MESSAGE: Final = 4096
"""Admission webhooks may answer with megabytes, which are for no log and no condition."""
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_NO_VERSION: Final = "1"
"""No object has it, since the store's first revision is its own: an apply that asks for it can only create."""
_JSON: Final = "application/json"
_METADATA: Final = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{_JSON}"
"""Lists without spec and status; whole ones where a server does not know that."""


@dataclass(frozen=True)
class Connection:
    """Where the API server is and who we are, for the watcher, which has a client of its own."""

    server: str
    ca_path: str | None
    verify: bool
    token: str | None
    certificate_path: str | None
    key_path: str | None


@dataclass(frozen=True)
class Access:
    """How to find the cluster: a kubeconfig, or (None) the pod's account, else the user's usual kubeconfig."""

    kubeconfig: Path | None = None
    context: str | None = None


class Cluster:
    """An open connection; made by `open_cluster`, closed by `close`."""

    def __init__(self, access: Access, configuration: Any, tracing: Tracing) -> None:
        self._access = access
        self._tracing = tracing
        self._configuration = configuration
        self._client = client.ApiClient(configuration)

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]  # the library is partly typed

    @property
    def server(self) -> str:
        """URL of the API server."""
        return str(self._configuration.host)

    async def connection(self) -> Connection:
        """Read anew on each call, so that a rotated token is picked up."""
        fresh = await _configure(self._access)
        token = fresh.api_key.get("BearerToken")
        return Connection(
            server=fresh.host,
            ca_path=fresh.ssl_ca_cert,
            verify=fresh.verify_ssl,
            token=token.split(" ", 1)[-1].strip() if token else None,
            certificate_path=fresh.cert_file,
            key_path=fresh.key_file,
        )

    async def fetch(self, ref: Ref) -> Manifest:
        return await self._send("GET", APIS[ref.kind].path(ref.namespace, ref.name))

    async def fetch_list(self, kind: str, namespace: str | None, label_selector: str | None) -> Listing:
        items: list[Manifest] = []
        version = ""
        async for page in self.fetch_pages(kind, namespace, label_selector):
            items += page.items
            version = page.version
        return Listing(items, version)

    def fetch_pages(self, kind: str, namespace: str | None, label_selector: str | None) -> AsyncIterator[Listing]:
        return self._pages(kind, namespace, label_selector, PAGE_SIZE, _JSON)

    def fetch_versions(self, kind: str, namespace: str | None, label_selector: str | None) -> AsyncIterator[Listing]:
        return self._pages(kind, namespace, label_selector, _VERSIONS_PAGE_SIZE, _METADATA)

    async def _pages(
        self, kind: str, namespace: str | None, label_selector: str | None, size: int, accept: str
    ) -> AsyncIterator[Listing]:
        query = {"limit": str(size)}
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            page = await self._send("GET", APIS[kind].path(namespace), query, accept=accept)
            following = page["metadata"].get("continue")
            # An empty list of metadata comes with `null` as its items.
            yield Listing(page["items"] or [], page["metadata"]["resourceVersion"])
            if not following:
                return
            del page
            query["continue"] = following

    async def fetch_some(self, kind: str, namespace: str, label_selector: str, most: int) -> list[Manifest]:
        query = {"labelSelector": label_selector, "limit": str(most)}
        items: list[Manifest] = (await self._send("GET", APIS[kind].path(namespace), query))["items"]
        return items

    async def fetch_plurals(self, version: str) -> frozenset[str]:
        try:
            answer = await self._send("GET", f"/apis/{version}")
        except NotFoundError:
            return frozenset()
        return frozenset(resource["name"] for resource in answer.get("resources") or ())

    async def fetch_groups(self) -> frozenset[str]:
        try:
            answer = await self._send("GET", "/apis")
        except NotFoundError:
            return frozenset()
        return frozenset(group["name"] for group in answer.get("groups") or ())

    async def apply(self, manifest: Manifest, *, absent: bool = False) -> Manifest:
        if absent:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": _NO_VERSION}}
        return await self._apply(manifest, None, FIELD_MANAGER)

    async def apply_status(self, manifest: Manifest) -> Manifest:
        return await self._apply(manifest, "status", f"{FIELD_MANAGER}-status")

    async def create(self, manifest: Manifest) -> Manifest:
        path = APIS[manifest["kind"]].path(manifest["metadata"]["namespace"])
        return await self._send("POST", path, {"fieldManager": FIELD_MANAGER}, manifest, _JSON)

    async def replace(self, manifest: Manifest) -> Manifest:
        """The whole object; ConflictError when it is no longer of `metadata.resourceVersion`."""
        ref = ref_of(manifest)
        path = APIS[ref.kind].path(ref.namespace, ref.name)
        return await self._send("PUT", path, {"fieldManager": FIELD_MANAGER}, manifest, _JSON)

    async def merge(self, ref: Ref, patch: Manifest) -> Manifest:
        path = APIS[ref.kind].path(ref.namespace, ref.name)
        return await self._send("PATCH", path, {"fieldManager": FIELD_MANAGER}, patch, _MERGE)

    async def delete(self, ref: Ref, uid: str) -> None:
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._send("DELETE", APIS[ref.kind].path(ref.namespace, ref.name), {}, options, _JSON)

    async def _apply(self, manifest: Manifest, subresource: str | None, manager: str) -> Manifest:
        ref = ref_of(manifest)
        path = APIS[ref.kind].path(ref.namespace, ref.name, subresource)
        return await self._send("PATCH", path, {"fieldManager": manager, "force": "true"}, manifest, _APPLY)

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
        *,
        accept: str = _JSON,
    ) -> Manifest:
        headers = {"Content-Type": content_type, "Accept": accept}
        with self._tracing.request(method, path) as span:
            status, answer, pause = await self._exchange(method, path, query or {}, body, headers)
            if status == 401:
                # The token may have been rotated since the library read it; once more with a fresh one.
                self._configuration.api_key = (await _configure(self._access)).api_key
                status, answer, pause = await self._exchange(method, path, query or {}, body, headers)
            end_request(span, status)
        if status >= 400:
            raise _api_error(status, answer, f"{method} {path}", pause)
        return answer

    async def _exchange(
        self, method: str, path: str, query: dict[str, str], body: Manifest | None, headers: dict[str, str]
    ) -> tuple[int, Manifest, float]:
        """Status, body, and the seconds for which the API server asks not to be asked again."""
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            _, url, full_headers, _, _ = await self._client.param_serialize(
                method, target, header_params=dict(headers), auth_settings=["BearerToken"]
            )
            response = await self._client.call_api(
                method, url, header_params=full_headers, body=body, _request_timeout=_TIMEOUT_SECONDS
            )
            content = await response.read()  # type: ignore[no-untyped-call]  # the library is partly typed
            return response.status, _parse(content), _seconds(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise UnavailableError(f"{method} {path}: no answer from the API server: {words}") from error


async def open_cluster(access: Access, tracing: Tracing | None = None) -> Cluster:
    """Raises ClusterConfigError when no usable configuration is found. Makes no request."""
    return Cluster(access, await _configure(access), tracing or Tracing())


async def _configure(access: Access) -> Any:
    """A client configuration; the token is set before its refresh hook first runs, or requests would be anonymous."""
    configuration = client.Configuration()
    # Proxies from the environment are for the outside world, not for the API server.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        if access.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load = incluster_config.load_incluster_config
            load(configuration)  # type: ignore[no-untyped-call]  # the library is partly typed
        else:
            file = None if access.kubeconfig is None else str(access.kubeconfig)
            read = kube_config.load_kube_config
            await read(file, access.context, configuration)  # type: ignore[no-untyped-call]  # the library is partly typed
    except (ConfigException, OSError) as error:
        where = access.kubeconfig or "the pod's account or the default kubeconfig"
        raise ClusterConfigError(f"no access to a cluster from {where}: {error}; check --kubeconfig") from error
    return configuration


def _parse(body: bytes) -> Manifest:
    """What is not a JSON object (a proxy's error page, say) becomes the message of a Status."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"message": body.decode(errors="replace")[:500]}


def _seconds(retry_after: str | None) -> float:
    """Kubernetes writes whole seconds there, never a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _api_error(status: int, answer: Manifest, what: str, pause: float) -> ApiError:
    reason = str(answer.get("reason") or "")[:_LONGEST_MESSAGE]
    message = str(answer.get("message") or "").strip()[:_LONGEST_MESSAGE] or f"HTTP {status}"
    if not reason:
        # Not a Status of Kubernetes: its words do not say what was asked for.
        message = f"{what}: {message}"
    kind: type[ApiError]
    match status:
        case 404:
            kind = NotFoundError
        case 409:
            kind = ConflictError
        case 400 | 403 | 405 | 415 | 422:
            kind = RefusedError
        case _:
            kind = UnavailableError
    return kind(message, status=status, reason=reason, retry_after=pause)
