"""TLS between the planes, as pods see it: which Secret is mounted where, and which names a pool's servers have.

The names of the Secrets differ by mode, so that what cert-manager wrote is never taken for ours.
"""

from __future__ import annotations

from typing import Final

from rlm_operator.inputs import PoolTerms
from rlm_operator.names import (
    pool_certificate,
    pool_pods_service,
    pool_tls_secret,
    pool_workload,
    stack_certificate,
    stack_sandbox_tls_secret,
)
from rlm_operator.objects.certificate import build_certificate
from rlm_operator.objects.owner import Plane
from rlm_operator.objects.secret import build_issued_secret, build_secret_volume
from rlm_operator.resource import Manifest, Pool, Stack
from rlm_operator.spec.tls import Tls

SERVER_VOLUME: Final = "tls"
SERVER_DIR: Final = "/etc/rlm/tls"
CLIENT_VOLUME: Final = "sandbox-tls"
CLIENT_DIR: Final = "/etc/rlm/sandbox-tls"
_SERVED_KIND: Final = "Certificate"


def build_server_volumes(pool: Pool) -> list[Manifest]:
    """None where TLS is disabled."""
    name = pool.identity.name
    match pool.spec.tls.mode:
        case "Operator":
            return [build_secret_volume(SERVER_VOLUME, pool_tls_secret(name))]
        case "CertManager":
            return [build_secret_volume(SERVER_VOLUME, pool_certificate(name))]
        case "Disabled":
            return []


def build_server_env(tls: Tls) -> list[Manifest]:
    return [] if tls.mode == "Disabled" else [{"name": "SANDBOX_TLS_DIR", "value": SERVER_DIR}]


def build_client_volumes(stack: Stack, terms: PoolTerms) -> list[Manifest]:
    """None where TLS is disabled."""
    name = stack.identity.name
    match terms.tls.mode:
        case "Operator":
            return [build_secret_volume(CLIENT_VOLUME, stack_sandbox_tls_secret(name))]
        case "CertManager":
            return [build_secret_volume(CLIENT_VOLUME, stack_certificate(name))]
        case "Disabled":
            return []


def build_stack_certificates(plane: Plane, stack: Stack, terms: PoolTerms, served: frozenset[str]) -> list[Manifest]:
    """The Secret of a stack's client certificate, or the object that has cert-manager make it."""
    tls = terms.tls
    if tls.mode == "Operator":
        return [build_issued_secret(plane, stack_sandbox_tls_secret(stack.identity.name))]
    if tls.issuer_ref is None or _SERVED_KIND not in served or is_out_of_reach(stack, tls):
        return []
    uri = f"urn:rlm-operator:{stack.identity.namespace}:{stack.identity.name}"
    return [build_certificate(plane, stack_certificate(stack.identity.name), tls.issuer_ref, uri=uri)]


def build_pool_certificates(plane: Plane, pool: Pool, secrets: list[str], served: frozenset[str]) -> list[Manifest]:
    """`secrets`: those that the operator fills in mode Operator."""
    tls = pool.spec.tls
    if tls.mode == "Operator":
        return [build_issued_secret(plane, name) for name in secrets]
    if tls.issuer_ref is None or _SERVED_KIND not in served:
        return []
    hosts = server_hosts(plane.instance, plane.namespace, pool.spec.service.name)
    return [build_certificate(plane, pool_certificate(plane.instance), tls.issuer_ref, hosts=hosts)]


def is_out_of_reach(stack: Stack, tls: Tls) -> bool:
    """Whether the pool's issuer can not issue in the stack's namespace."""
    issuer = tls.issuer_ref
    return issuer is not None and issuer.kind == "Issuer" and stack.pool_namespace != stack.identity.namespace


def server_hosts(pool: str, namespace: str, alias: str | None) -> tuple[str, ...]:
    """Every form of the names of a pool's Services: clients dial pod addresses and verify a Service's name, or dial a
    Service. `alias`: a further one."""
    services = dict.fromkeys((pool_pods_service(pool), pool_workload(pool), *([alias] if alias else [])))
    forms = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    return tuple(service + form for service in services for form in forms)
