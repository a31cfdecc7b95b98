"""Certificates of cert-manager, for pools with `tls.mode: CertManager`; each has the name of the Secret it fills."""

from __future__ import annotations

from collections.abc import Sequence

from rlm_operator.objects.owner import Plane, build_metadata
from rlm_operator.resource import Manifest
from rlm_operator.spec.tls import IssuerRef


def build_certificate(
    plane: Plane, name: str, issuer: IssuerRef, *, hosts: Sequence[str] = (), uri: str | None = None
) -> Manifest:
    """Of a server at `hosts`, or of a client that is named by `uri`. How long it lives is cert-manager's default."""
    names = {"dnsNames": list(hosts)} if hosts else {"uris": [uri]}
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": build_metadata(plane, name),
        "spec": {
            "secretName": name,
            **names,
            "usages": ["server auth"] if hosts else ["client auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": issuer.model_dump(mode="json", by_alias=True),
        },
    }
