"""Certificates of the pods, of a pool's servers and of each caller: what is in them, and when one is to be replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rlm_operator.names import pool_workload
from rlm_operator.objects.tls import server_hosts
from rlm_operator.resource import Identity, Pool
from rlm_operator.trust.pair import BACKDATE, Pair, due_at, sign

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
BUNDLE: Final = "ca.crt"


@dataclass(frozen=True)
class Subject:
    """Whom a certificate names. `hosts` are a server's; a client has none."""

    organisation: str
    name: str
    hosts: tuple[str, ...] = ()

    @property
    def usage(self) -> x509.ObjectIdentifier:
        return ExtendedKeyUsageOID.SERVER_AUTH if self.hosts else ExtendedKeyUsageOID.CLIENT_AUTH

    def name_attributes(self) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.organisation),
                x509.NameAttribute(NameOID.COMMON_NAME, self.name),
            ]
        )

    def alternatives(self) -> x509.SubjectAlternativeName:
        if self.hosts:
            return x509.SubjectAlternativeName([x509.DNSName(host) for host in self.hosts])
        return x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(f"urn:rlm-operator:{self.organisation}:{self.name}")]
        )


def pool_subject(pool: Pool) -> Subject:
    identity = pool.identity
    hosts = server_hosts(identity.name, identity.namespace, pool.spec.service.name)
    return Subject(identity.namespace, pool_workload(identity.name), hosts)


def stack_subject(stack: Identity) -> Subject:
    return Subject(stack.namespace, stack.name)


def issue_leaf(subject: Subject, signer: Pair, life: timedelta, now: datetime) -> Pair:
    """It ends with its authority at the latest."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = signer.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject.name_attributes())
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + life, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(subject.alternatives(), critical=False)
        .add_extension(x509.ExtendedKeyUsage([subject.usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
    )
    return Pair(sign(builder, signer.key), key)


def is_current(leaf: Pair, subject: Subject, signer: Pair, now: datetime) -> bool:
    """Whether a certificate can stay: for this subject, of this signer, and not yet to be renewed."""
    certificate = leaf.certificate
    return (
        certificate.subject == subject.name_attributes()
        and _alternatives(certificate) == subject.alternatives()
        and now < due_at(certificate)
        and signer.has_signed(certificate)
    )


def read_leaf(data: Mapping[str, bytes]) -> Pair | None:
    return Pair.read(data, CERTIFICATE, KEY)


def trusts(data: Mapping[str, bytes], authority: Pair) -> bool:
    """Whether the bundle beside a certificate has this authority."""
    return authority.certificate_pem() in data.get(BUNDLE, b"")


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
