"""The certificates of one resource in every TLS mode, and the condition CertificatesReady.

Called by `credentials.py` with each reconcile: a pool's certificates are issued here (mode Operator) or looked at
(CertManager); of a stack, what the pool's reconcile or cert-manager wrote for it is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509

from rlm_operator.conditions import Condition, ConditionType, Reason
from rlm_operator.inputs import PoolTerms
from rlm_operator.kinds import Ref
from rlm_operator.names import pool_certificate, stack_certificate, stack_sandbox_tls_secret
from rlm_operator.objects.tls import is_out_of_reach
from rlm_operator.ownership import Guard
from rlm_operator.resource import Identity, Pool, Stack
from rlm_operator.status import Refusal
from rlm_operator.trust.callers import Caller
from rlm_operator.trust.expiries import Expiries
from rlm_operator.trust.issuer import Issuer
from rlm_operator.trust.leaf import CERTIFICATE
from rlm_operator.trust.secret_door import SecretDoor, decode

_KIND = ConditionType.CERTIFICATES_READY


@dataclass
class Certified:
    """`condition`: None where TLS is disabled. `again`: seconds until something is due."""

    condition: Condition | None = None
    again: float | None = None
    refusals: list[Refusal] = field(default_factory=list)


class Certificates:
    """Of all resources."""

    def __init__(self, door: SecretDoor, issuer: Issuer, expiries: Expiries) -> None:
        self._door = door
        self._issuer = issuer
        self._expiries = expiries

    async def settle_pool(
        self, pool: Pool, guard: Guard, callers: Sequence[Caller], refused: Sequence[Identity], served: Set[str]
    ) -> Certified:
        """`refused`: stacks that name the pool and may not use it. Raises NameTakenError, ApiError."""
        identity, tls = pool.identity, pool.spec.tls
        ref = Ref(identity.kind, identity.namespace, identity.name)
        if tls.mode == "Operator":
            issued = await self._issuer.settle(pool, guard, callers)
            await self._revoke(guard, refused)
            self._expiries.note(ref, issued.soonest)
            return Certified(_judge(issued.server, "the operator is about to issue it"), issued.again, issued.refusals)
        if tls.mode == "Disabled":
            self._expiries.note(ref, None)
            return Certified()
        return Certified(await self._of_cert_manager(ref, pool_certificate(identity.name), served))

    async def settle_stack(self, stack: Stack, terms: PoolTerms, served: Set[str]) -> Certified:
        """Raises ApiError."""
        identity = stack.identity
        ref = Ref(identity.kind, identity.namespace, identity.name)
        if terms.tls.mode == "Disabled":
            self._expiries.note(ref, None)
            return Certified()
        if terms.tls.mode == "CertManager":
            if is_out_of_reach(stack, terms.tls):
                return Certified(Condition(_KIND, False, Reason.ISSUER_OUT_OF_REACH, _OUT_OF_REACH))
            return Certified(await self._of_cert_manager(ref, stack_certificate(identity.name), served))
        name = stack_sandbox_tls_secret(identity.name)
        secret = await self._door.fetch_owned(identity.namespace, name, identity)
        leaf = _load(decode(secret))
        self._expiries.note(ref, leaf.not_valid_after_utc if leaf else None)
        return Certified(_judge(leaf, "the pool's reconcile issues it once the pool is there and allows this stack"))

    def forget(self, resource: Ref) -> None:
        """A resource is gone."""
        self._expiries.note(resource, None)

    async def _revoke(self, guard: Guard, refused: Sequence[Identity]) -> None:
        """Stacks that may no longer use the pool lose what its authority gave them."""
        for stack in refused:
            found = await self._door.fetch_owned(stack.namespace, stack_sandbox_tls_secret(stack.name), stack)
            if found is not None:
                await self._door.delete(guard, found)

    async def _of_cert_manager(self, resource: Ref, certificate: str, served: Set[str]) -> Condition:
        """The certificate object and its Secret have one name."""
        if "Certificate" not in served:
            words = (
                "tls.mode is CertManager and this cluster does not serve certificates.cert-manager.io/v1: install "
                "cert-manager, or set tls.mode to Operator"
            )
            return Condition(_KIND, False, Reason.CERT_MANAGER_MISSING, words)
        leaf = _load(decode(await self._door.fetch(resource.namespace, certificate)))
        self._expiries.note(resource, leaf.not_valid_after_utc if leaf else None)
        where = f"kubectl describe certificate {certificate} -n {resource.namespace}"
        return _judge(leaf, f'cert-manager has not written Secret "{certificate}" yet; {where} says why')


_OUT_OF_REACH = (
    "The pool's tls.issuerRef is an Issuer, which issues in its own namespace only: have the pool's owner name a "
    "ClusterIssuer, or use a pool of this namespace"
)


def _judge(leaf: x509.Certificate | None, why: str) -> Condition:
    if leaf is None:
        return Condition(_KIND, False, Reason.CERTIFICATE_PENDING, f"There is no certificate yet: {why}.")
    end = leaf.not_valid_after_utc
    until = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    if end <= datetime.now(UTC):
        words = f"The certificate ended at {until} and was not renewed: the condition Degraded may say why"
        return Condition(_KIND, False, Reason.CERTIFICATE_EXPIRED, words)
    return Condition(_KIND, True, Reason.CERTIFICATE_ISSUED, f"The certificate is valid until {until}.")


def _load(data: dict[str, bytes]) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(data.get(CERTIFICATE, b""))
    except ValueError:
        return None
