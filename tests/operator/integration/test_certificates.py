"""Certificates between the planes, as the operator or cert-manager issues them."""

from __future__ import annotations

import base64
import itertools

import pytest
from cryptography import x509

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.optional_crds import install_crds, remove_crds
from tests.operator.integration.operator_process import OperatorProcess
from tests.operator.integration.samples import build_pool, build_stack
from tests.operator.integration.tenant import Tenant

POLL_SECONDS = 120.0  # Secrets are looked at every minute
DISCOVERY_SECONDS = 90.0  # the operator looks for optional APIs every 30 s
ISSUER: Object = {"tls": {"mode": "CertManager", "issuerRef": {"name": "pool-ca", "kind": "ClusterIssuer"}}}


def entries(secret: Object) -> dict[str, bytes]:
    return {name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()}


def expect_issued(tenant: Tenant, secret: str) -> dict[str, bytes]:
    """Content of a Secret, once a certificate is in it."""
    eventually(lambda: "tls.crt" in entries(tenant.expect("secret", secret)), f"a certificate in {secret}")
    return entries(tenant.expect("secret", secret))


def volumes_of(tenant: Tenant, deployment: str) -> set[str]:
    pod = tenant.expect("deployment", deployment)["spec"]["template"]["spec"]
    return {volume["name"] for volume in pod["volumes"]}


def test_a_stack_and_its_pool_have_certificates_of_one_authority_and_say_until_when(
    tenant: Tenant, operator: OperatorProcess
) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    [authority] = x509.load_pem_x509_certificates(expect_issued(tenant, "s-wasm-ca")["tls.crt"])
    for secret in ("s-wasm-tls", "s-wasm-client-tls", "s-rlm-sandbox-tls"):
        issued = expect_issued(tenant, secret)
        leaf = x509.load_pem_x509_certificate(issued["tls.crt"])
        leaf.verify_directly_issued_by(authority)
        assert x509.load_pem_x509_certificates(issued["ca.crt"]) == [authority]
    for resource in ("sandboxpool", "rlmstack"):
        condition = tenant.expect_condition(resource, "s", "CertificatesReady", "True", says="valid until")
        assert condition["reason"] == "CertificateIssued"
    [line] = [
        line
        for line in operator.fetch("/metrics").splitlines()
        if line.startswith("rlm_operator_certificate_expiration_timestamp_seconds ")
    ]
    assert float(line.split()[1]) > 1e9


def test_no_private_key_is_in_a_log_a_status_or_an_event(tenant: Tenant, operator: OperatorProcess) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    keys = [expect_issued(tenant, secret)["tls.key"] for secret in ("s-wasm-ca", "s-wasm-tls", "s-rlm-sandbox-tls")]
    tenant.expect_condition("rlmstack", "s", "CertificatesReady", "True")
    told = operator.log_text()
    for resource in ("rlmstacks", "sandboxpools", "events", "deployments", "configmaps"):
        told += tenant.kubectl.run("get", resource, "-n", tenant.namespace, "-o", "yaml")
    for key in keys:
        assert key.decode().splitlines()[1] not in told
        assert base64.b64encode(key).decode() not in told


def test_a_deleted_or_broken_certificate_is_issued_anew_and_a_deleted_authority_replaces_all(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    before = {name: expect_issued(tenant, name) for name in ("s-wasm-ca", "s-wasm-tls", "s-rlm-sandbox-tls")}
    tenant.delete("secret", "s-wasm-tls")
    tenant.patch("secret", "s-rlm-sandbox-tls", {"data": {"tls.crt": "bm9uc2Vuc2U="}})
    expect_renewed(tenant, before, "s-wasm-tls", "s-rlm-sandbox-tls")
    assert entries(tenant.expect("secret", "s-wasm-ca")) == before["s-wasm-ca"]
    tenant.delete("secret", "s-wasm-ca")
    expect_renewed(tenant, before, *before)
    [authority] = x509.load_pem_x509_certificates(entries(tenant.expect("secret", "s-wasm-ca"))["tls.crt"])
    x509.load_pem_x509_certificate(expect_issued(tenant, "s-wasm-tls")["tls.crt"]).verify_directly_issued_by(authority)


def expect_renewed(tenant: Tenant, before: dict[str, dict[str, bytes]], *names: str) -> None:
    """Secrets are looked at every minute, and with every change of the pool after a few seconds."""
    changes = itertools.count(1)

    def look_again() -> bool:
        tenant.patch("rlmstack", "s", {"spec": {"sandbox": {"limits": {"maxQueue": next(changes)}}}})
        return is_renewed(tenant, before, *names)

    eventually(look_again, f"others in place of {names}")


def is_renewed(tenant: Tenant, before: dict[str, dict[str, bytes]], *names: str) -> bool:
    now = {name: entries(tenant.get("secret", name) or {}) for name in names}
    return all(
        now[name].get("tls.crt", b"").startswith(b"-----") and now[name]["tls.crt"] != before[name]["tls.crt"]
        for name in names
    )


def test_disabled_tls_leaves_no_certificate_and_no_mount(tenant: Tenant) -> None:
    tenant.apply(build_stack("s", tenant.namespace))
    secrets = ("s-wasm-ca", "s-wasm-tls", "s-wasm-client-tls", "s-rlm-sandbox-tls")
    for secret in secrets:
        tenant.expect("secret", secret)
    assert "tls" in volumes_of(tenant, "s-wasm")
    tenant.patch("rlmstack", "s", {"spec": {"sandbox": {"tls": {"mode": "Disabled"}}}})
    for secret in secrets:
        tenant.expect_gone("secret", secret)
    eventually(lambda: "tls" not in volumes_of(tenant, "s-wasm"), "a sandbox without certificates")
    eventually(lambda: "sandbox-tls" not in volumes_of(tenant, "s-rlm"), "a stack without certificates")
    eventually(lambda: tenant.condition("rlmstack", "s", "CertificatesReady") is None, "no word of certificates")


def test_a_secret_of_somebody_else_under_the_name_of_a_certificate_is_left_alone(tenant: Tenant) -> None:
    tenant.create_secret("s-wasm-tls", mine="yes")
    tenant.apply(build_stack("s", tenant.namespace))
    condition = tenant.expect_condition("sandboxpool", "s", "Degraded", "True", says="s-wasm-tls")
    assert condition["reason"] == "NameConflict"
    expect_issued(tenant, "s-rlm-sandbox-tls")
    assert entries(tenant.expect("secret", "s-wasm-tls")) == {"mine": b"yes"}
    tenant.delete("secret", "s-wasm-tls")
    eventually(lambda: tenant.get("secret", "s-wasm-tls"), "a Secret of the operator's own", POLL_SECONDS)
    expect_issued(tenant, "s-wasm-tls")


@pytest.mark.timeout(400)
def test_cert_manager_is_asked_where_it_is_and_missed_where_it_is_not(
    tenant: Tenant, control_plane: ControlPlane
) -> None:
    remove_crds(control_plane.admin, "cert-manager")
    tenant.apply(build_pool("p", tenant.namespace, ISSUER))
    tenant.apply(build_stack("s", tenant.namespace, {"sandboxPoolRef": {"name": "p"}}))
    for resource, name in (("sandboxpool", "p"), ("rlmstack", "s")):
        condition = tenant.expect_condition(
            resource, name, "CertificatesReady", "False", DISCOVERY_SECONDS, says="install cert-manager"
        )
        assert condition["reason"] == "CertManagerMissing"
    install_crds(control_plane.admin, "cert-manager")
    certificates = ("p-wasm-certificate", "s-rlm-sandbox-certificate")
    eventually(lambda: all(tenant.get("certificate", name) for name in certificates), "both", DISCOVERY_SECONDS)
    for name in certificates:
        spec = tenant.expect("certificate", name)["spec"]
        assert spec["secretName"] == name
        assert spec["issuerRef"] == {"name": "pool-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert f"p-wasm-pods.{tenant.namespace}.svc" in tenant.expect("certificate", certificates[0])["spec"]["dnsNames"]
    tenant.expect_condition("sandboxpool", "p", "CertificatesReady", "False", says="kubectl describe certificate")
    assert tenant.get("secret", "p-wasm-ca") is None
    write_as_cert_manager(tenant, "p-wasm-certificate")
    tenant.expect_condition("sandboxpool", "p", "CertificatesReady", "True", POLL_SECONDS, says="valid until")
    tenant.patch("sandboxpool", "p", {"spec": {"tls": {"mode": "Disabled", "issuerRef": None}}})
    for name in certificates:
        tenant.expect_gone("certificate", name)


def write_as_cert_manager(tenant: Tenant, name: str) -> None:
    """A certificate that another pool of the namespace has, under the name of cert-manager's Secret."""
    tenant.apply(build_pool("donor", tenant.namespace, {"replicas": 0}))
    donated = expect_issued(tenant, "donor-wasm-tls")
    data = {entry: base64.b64encode(value).decode() for entry, value in donated.items()}
    metadata = {"name": name, "namespace": tenant.namespace}
    tenant.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
    )
