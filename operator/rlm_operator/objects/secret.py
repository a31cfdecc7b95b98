"""Secrets: the ones that the operator makes, and how a pod mounts any of them as a folder of files.

A generated Secret is rendered without data, with an annotation that names the entries to fill. The operator fills them
once with random keys; `rlmctl dev` does the same in a private folder; who applies `rlmctl render` by hand fills them by
hand. So rendering stays a pure function, and no reconcile ever rotates a key.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from rlm_operator.names import (
    API_KEY,
    GENERATED_ANNOTATION,
    ISSUED_ANNOTATION,
    pool_authority_secret,
    pool_client_tls_secret,
    pool_key_secret,
    pool_tls_secret,
    stack_key_secret,
    stack_sandbox_key_secret,
    stack_sandbox_tls_secret,
)
from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Identity, Kind, Manifest


def made_secret_names(identity: Identity) -> list[str]:
    """Names of all Secrets that the operator may make for a resource."""
    name = identity.name
    if identity.kind is Kind.STACK:
        return [stack_key_secret(name), stack_sandbox_key_secret(name), stack_sandbox_tls_secret(name)]
    return [pool_key_secret(name), *pool_certificate_secrets(name)]


def pool_certificate_secrets(pool: str) -> list[str]:
    """Of a pool with `tls.mode: Operator`."""
    return [pool_authority_secret(pool), pool_tls_secret(pool), pool_client_tls_secret(pool)]


def build_secret(plane: Plane, name: str, kind: str = "Opaque") -> Manifest:
    """A Secret without data."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": build_metadata(plane, name), "type": kind}


def build_generated_secret(plane: Plane, name: str) -> Manifest:
    """A Secret whose entry `api-key` is to be filled with a random key."""
    secret = build_secret(plane, name)
    return {**secret, "metadata": {**secret["metadata"], "annotations": {GENERATED_ANNOTATION: API_KEY}}}


def build_issued_secret(plane: Plane, name: str) -> Manifest:
    """A Secret that is to be filled with a certificate, its key and the authorities that its owner trusts."""
    secret = build_secret(plane, name)
    return {**secret, "metadata": {**secret["metadata"], "annotations": {ISSUED_ANNOTATION: "tls.crt,tls.key,ca.crt"}}}


def generated_keys(secret: Mapping[str, Any]) -> list[str]:
    """Entries of a rendered Secret that are to be filled with random keys; empty for all other objects."""
    annotations = secret.get("metadata", {}).get("annotations") or {}
    return [key for key in annotations.get(GENERATED_ANNOTATION, "").split(",") if key]


def build_filled_secret(secret: Manifest, data: Mapping[str, str]) -> Manifest:
    """The Secret with these entries added, as plain text in and base64 out."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {**secret, "data": {**secret.get("data", {}), **encoded}}


def build_secret_volume(name: str, secret: str, key: str | None = None) -> Manifest:
    """A volume of one entry, as file `api-key`, or of the whole Secret; readable by the pod's group alone."""
    source: Manifest = {"secretName": secret, "defaultMode": 0o440}
    if key is not None:
        source["items"] = [{"key": key, "path": API_KEY}]
    return {"name": name, "secret": source}
