"""Issues and renews the certificates of one pool in `tls.mode: Operator`: of its pods and of all its callers.

The pool's reconcile alone does it, so that a change of authority has one order: the new authority goes into every
Secret, signs when the pods have seen it, and the old one goes when nothing is left that it signed. Every write names
the version that was read, so two operators at once do not undo each other's work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from rlm_operator.conditions import Reason
from rlm_operator.errors import ConflictError, NotFoundError, RefusedError
from rlm_operator.feed import Feed
from rlm_operator.kinds import Ref
from rlm_operator.lanes import each_in_lanes
from rlm_operator.names import (
    pool_authority_secret,
    pool_client_tls_secret,
    pool_tls_secret,
    pool_workload,
    stack_sandbox_tls_secret,
)
from rlm_operator.objects.owner import build_owned, plane_of
from rlm_operator.objects.secret import build_issued_secret
from rlm_operator.ownership import Guard, NameTakenError
from rlm_operator.resource import Identity, Kind, Manifest, Pool
from rlm_operator.status import Refusal, refusal_of
from rlm_operator.trust.authority import Authorities, Lifetimes, is_superseded, next_authorities
from rlm_operator.trust.callers import Caller
from rlm_operator.trust.leaf import (
    BUNDLE,
    CERTIFICATE,
    KEY,
    Subject,
    is_current,
    issue_leaf,
    pool_subject,
    read_leaf,
    stack_subject,
    trusts,
)
from rlm_operator.trust.pair import Pair, due_at, issued_at
from rlm_operator.trust.secret_door import SecretDoor, decode, encode

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A Secret with a certificate: whose it is, and whom the certificate names."""

    owner: Identity
    name: str
    subject: Subject

    @property
    def ref(self) -> Ref:
        return Ref("Secret", self.owner.namespace, self.name)


@dataclass
class Issued:
    """`server`: the certificate of the pool's pods, None while there is none. `soonest`: the first end of any.
    `again`: seconds until something is due."""

    server: x509.Certificate | None
    soonest: datetime
    again: float
    refusals: list[Refusal]


class Issuer:
    """For all pools."""

    def __init__(self, door: SecretDoor, feed: Feed, lifetimes: Lifetimes) -> None:
        self._door = door
        self._feed = feed
        self._lifetimes = lifetimes

    async def settle(self, pool: Pool, guard: Guard, callers: Sequence[Caller]) -> Issued:
        """Raises NameTakenError when somebody else has the authority's Secret, and ApiError."""
        now = datetime.now(UTC)
        authorities, secret = await self._authorities(pool.identity, guard, now)
        targets = _targets(pool, callers)
        secrets = await each_in_lanes(targets, lambda target: self._door.fetch(*target.ref[1:]))
        found = dict(zip(targets, secrets, strict=True))
        owned = [target for target in targets if self._door.is_owned(found[target], target.owner)]
        distributed = all(trusts(decode(found[target]), authorities.newest) for target in owned)
        signer = authorities.signer(now, self._lifetimes.settle, is_distributed=distributed)
        leaves: dict[Target, x509.Certificate] = {}

        async def ensure(target: Target) -> Refusal | None:
            try:
                leaf = await self._ensure(target, found[target], guard, authorities, signer, now)
                leaves[target] = leaf.certificate
            except NameTakenError as error:
                return Refusal(target.ref, Reason.NAME_CONFLICT, str(error))
            except (RefusedError, ConflictError, NotFoundError) as error:
                if (old := read_leaf(decode(found[target]))) is not None:
                    leaves[target] = old.certificate
                return refusal_of(target.ref, error)
            return None

        refusals = [refusal for refusal in await each_in_lanes(targets, ensure) if refusal is not None]
        again = _seconds_until_due(authorities, list(leaves.values()), self._lifetimes.settle, now)
        if is_superseded(authorities, leaves.values(), self._lifetimes.settle, now):
            await self._door.change(guard, secret, encode(Authorities(authorities.newest).entries()))
            again = 0.0  # the bundles are still to follow
        ends = [leaf.not_valid_after_utc for leaf in leaves.values()]
        soonest = min([authorities.newest.certificate.not_valid_after_utc, *ends])
        return Issued(leaves.get(targets[0]), soonest, again, refusals)

    async def _authorities(self, pool: Identity, guard: Guard, now: datetime) -> tuple[Authorities, Manifest]:
        """As they should be now, and their Secret."""
        name = pool_authority_secret(pool.name)
        secret = await self._door.fetch(pool.namespace, name)
        found = None
        if secret is not None:
            self._door.check_owner(secret, pool)
            found = Authorities.read(decode(secret))
        wanted = next_authorities(found, pool_workload(pool.name), pool.namespace, self._lifetimes, now)
        if secret is not None and wanted == found:
            return wanted, secret
        _log.info("another certificate authority for pool %s in %s", pool.name, pool.namespace)
        entries = encode(wanted.entries())
        if secret is not None:
            return wanted, await self._door.change(guard, secret, entries)
        manifest = build_owned(build_issued_secret(plane_of(pool), name), pool)
        data = {entry: value for entry, value in entries.items() if value is not None}
        return wanted, await self._door.create(guard, {**manifest, "data": data}, pool)

    async def _ensure(
        self,
        target: Target,
        secret: Manifest | None,
        guard: Guard,
        authorities: Authorities,
        signer: Pair,
        now: datetime,
    ) -> Pair:
        """Certificate and bundle of one Secret, written together where one of them differs."""
        data = decode(secret)
        if secret is not None:
            self._door.check_owner(secret, target.owner)
        leaf = read_leaf(data)
        if leaf is None or not is_current(leaf, target.subject, signer, now):
            leaf = issue_leaf(target.subject, signer, self._lifetimes.certificate, now)
        wanted = {**leaf.entries(CERTIFICATE, KEY), BUNDLE: authorities.bundle()}
        if secret is None:
            manifest = build_owned(build_issued_secret(plane_of(target.owner), target.name), target.owner)
            await self._door.create(guard, {**manifest, "data": encode(wanted)}, target.owner)
        elif wanted != data:
            await self._door.change(guard, secret, encode({**dict.fromkeys(data), **wanted}))
        else:
            return leaf
        if target.owner.kind is Kind.STACK:
            self._feed.enqueue(Ref(target.owner.kind, target.owner.namespace, target.owner.name))
        return leaf


def _targets(pool: Pool, callers: Sequence[Caller]) -> list[Target]:
    """The pool's pods first."""
    identity = pool.identity
    client = Subject(identity.namespace, f"{pool_workload(identity.name)}-client")
    return [
        Target(identity, pool_tls_secret(identity.name), pool_subject(pool)),
        Target(identity, pool_client_tls_secret(identity.name), client),
        *(
            Target(caller.stack, stack_sandbox_tls_secret(caller.stack.name), stack_subject(caller.stack))
            for caller in callers
        ),
    ]


def _seconds_until_due(
    authorities: Authorities, leaves: Sequence[x509.Certificate], settle: timedelta, now: datetime
) -> float:
    moments = [due_at(leaf) for leaf in leaves]
    if authorities.previous is None:
        moments.append(due_at(authorities.newest.certificate))
    else:
        moments.append(issued_at(authorities.newest.certificate) + settle)
        moments += [issued_at(leaf) + settle for leaf in leaves]
    return min(((moment - now).total_seconds() for moment in moments if moment > now), default=1.0)
