"""Renderings of earlier versions (`golden/earlier/`), put on a cluster as the operator of then would have."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

import yaml

from rlm_operator.digest import digest
from rlm_operator.names import FIELD_MANAGER, GENERATED_ANNOTATION, HASH_ANNOTATION
from tests.controlplane.kubectl import Object
from tests.operator.integration.samples import API_VERSION
from tests.operator.integration.tenant import Child, Tenant

EARLIER: Final = Path(__file__).parents[1] / "golden" / "earlier"
VERSIONS: Final = sorted(path.name for path in EARLIER.iterdir())
IMAGES: Final = {
    "inference_image": "registry.test/inference:1",
    "sandbox_image": "registry.test/sandbox:1",
    "sandbox_scientific_image": "registry.test/sandbox-scientific:1",
}
"""Options of an operator that makes the same pods."""


def read_earlier(version: str, sample: str, namespace: str) -> list[Object]:
    """The manifests of then, rendered for another namespace: with its name, and digests to match."""
    text = (EARLIER / version / sample).read_text()
    moved = text.replace("namespace: team\n", f"namespace: {namespace}\n").replace(".team.svc", f".{namespace}.svc")
    manifests = [document for document in yaml.safe_load_all(moved) if document]
    for manifest in manifests:
        annotations = manifest["metadata"].get("annotations", {})
        if annotations.pop(HASH_ANNOTATION, None):
            if not annotations:
                del manifest["metadata"]["annotations"]
            kept = manifest["metadata"].get("annotations", {})
            manifest["metadata"]["annotations"] = {**kept, HASH_ANNOTATION: digest(manifest)}
    return manifests


def apply_as_operator(tenant: Tenant, manifests: list[Object]) -> dict[Child, Object]:
    """Owned by the resources they belong to, with the operator's field manager; pools come before their children."""
    for manifest in sorted(manifests, key=lambda manifest: manifest["kind"] != "SandboxPool"):
        owned = {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [_owner_of(tenant, manifest)]}}
        if manifest["kind"] == "Secret":
            entries = manifest["metadata"]["annotations"][GENERATED_ANNOTATION].split(",")
            owned["data"] = {entry: base64.b64encode(b"k" * 43).decode() for entry in entries}
        options = ("--server-side", f"--field-manager={FIELD_MANAGER}", "--force-conflicts")
        tenant.kubectl.run("apply", *options, "-f", "-", stdin=json.dumps(owned))
    return tenant.children()


def _owner_of(tenant: Tenant, manifest: Object) -> Object:
    labels = manifest["metadata"]["labels"]
    kind = "RLMStack" if labels["app.kubernetes.io/component"] == "inference" else "SandboxPool"
    name = labels["app.kubernetes.io/instance"]
    owner = tenant.expect(kind.lower(), name)
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": name,
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
