"""Runs of the isolation probe in the cluster: which Jobs a pass applies, and what the finished ones reported.

`reconcile.py` asks for a pool's `Run` before it applies children, and for its verdict afterwards.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rlm_operator.api import KubernetesApi
from rlm_operator.cache import Cache
from rlm_operator.egress_targets import egress_targets
from rlm_operator.endpoint import Address, Endpoint, External, IPAddress
from rlm_operator.errors import SpecInvalidError
from rlm_operator.isolation.planning import ProbeState, due_run, policy_digest
from rlm_operator.isolation.verdict import ROLES, Report, judge, parse_report
from rlm_operator.kinds import Ref, ref_of
from rlm_operator.live import Live
from rlm_operator.objects.isolation_probe import ROLE_LABEL, RUN_LABEL, build_probe_jobs, probe_job_name
from rlm_operator.objects.owner import build_owned, plane_of
from rlm_operator.resolver import Resolver
from rlm_operator.resource import Kind, Manifest, Pool, Stack, parse_resource

_MOST_RUNS: Final = 8
"""Pools probed at once, so that a new release does not start a probe of every pool in one moment."""
_MOST_LLM_TARGETS: Final = 4


@dataclass(frozen=True)
class Run:
    """`jobs` are to be applied, `refs` are all of the run's: Jobs that exist are never changed."""

    name: str
    policy: str
    refs: frozenset[Ref]
    jobs: list[Manifest] = field(default_factory=list)

    @property
    def standing(self) -> frozenset[Ref]:
        return self.refs - {ref_of(job) for job in self.jobs}


class IsolationProbe:
    """Its state is in the status of the pools."""

    def __init__(self, api: KubernetesApi, cache: Cache, resolver: Resolver) -> None:
        self._api = api
        self._cache = cache
        self._resolver = resolver

    async def plan(
        self, pool: Pool, children: list[Manifest], state: ProbeState | None, now: datetime.datetime
    ) -> Run | None:
        """The run that is due or under way; None when there is none, or the pool is not up to it."""
        policy = policy_digest(children)
        name = due_run(pool, state, policy, now)
        if name is None:
            return None
        plane = plane_of(pool.identity)
        refs = [Ref("Job", plane.namespace, probe_job_name(plane, name, role)) for role in ROLES]
        run = Run(name, policy, frozenset(refs))
        if all(self._own(pool, ref) for ref in refs):
            return run
        address = self._service_address(pool)
        deployments = [child for child in children if child["kind"] == "Deployment"]
        if address is None or not deployments or not self._is_available(pool) or self._is_crowded(pool):
            return run
        jobs = build_probe_jobs(plane, name, deployments[0], address, await self._llm_targets(pool))
        owned = [build_owned(job, pool.identity) for job in jobs]
        return replace(run, jobs=[job for job in owned if not self._own(pool, ref_of(job))])

    async def conclude(self, pool: Pool, run: Run, now: str) -> ProbeState | None:
        """The verdict, once every Job of the run has ended."""
        jobs = [self._own(pool, ref) for ref in run.refs]
        ended = [job for job in jobs if job is not None and _ending(job)]
        if len(ended) < len(ROLES):
            return None
        selector = f"{RUN_LABEL}={run.name}"
        listing = await self._api.fetch_list("Pod", pool.identity.namespace, selector)
        owners = {job.uid for job in ended}
        reports = _reports(pod for pod in listing.items if _owner_uid(pod) in owners)
        troubles = {job.manifest["metadata"]["labels"][ROLE_LABEL]: _ending(job) for job in ended}
        reason, message = judge(reports, troubles)
        return ProbeState(run.policy, now, reason, message)

    def _own(self, pool: Pool, ref: Ref) -> Live | None:
        live = self._cache.child(ref)
        is_own = live is not None and live.owner is not None and live.owner.uid == pool.identity.uid
        return live if is_own and live is not None and not live.deleting else None

    def _service_address(self, pool: Pool) -> str | None:
        service = self._own(pool, Ref("Service", pool.identity.namespace, plane_of(pool.identity).workload))
        return service.manifest["spec"].get("clusterIP") if service else None

    def _is_available(self, pool: Pool) -> bool:
        deployment = self._own(pool, Ref("Deployment", pool.identity.namespace, plane_of(pool.identity).workload))
        return deployment is not None and deployment.status.get("availableReplicas", 0) > 0

    def _is_crowded(self, pool: Pool) -> bool:
        probing = {
            live.owner.uid
            for ref, live in self._cache.children().items()
            if ref.kind == "Job" and live.owner is not None and not _ending(live)
        }
        return len(probing - {pool.identity.uid}) >= _MOST_RUNS

    async def _llm_targets(self, pool: Pool) -> dict[str, str]:
        """Where the stacks that use this pool have their models, as addresses: the probe's pods have no DNS."""
        users = self._cache.stacks_of(Ref(Kind.POOL, pool.identity.namespace, pool.identity.name))
        stacks = [stack for manifest in users if (stack := _stack_of(manifest))]
        found: list[str] = []
        for target in (target for stack in stacks for target in egress_targets(stack)):
            address = await self._address(target.endpoint)
            if address is not None and address not in found:
                found.append(address)
        return {f"llm-{number}": address for number, address in enumerate(found[:_MOST_LLM_TARGETS], 1)}

    async def _address(self, endpoint: Endpoint) -> str | None:
        """`HOST:PORT` for what is outside of the cluster."""
        match endpoint:
            case Address(address, port):
                return _written(address, port)
            case External(host, port):
                resolved = await self._resolver.resolve(host)
                return _written(resolved[0], port) if resolved else None
            case _:
                return None


def _written(address: IPAddress, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _stack_of(manifest: Manifest) -> Stack | None:
    """None when it can not be read."""
    try:
        stack = parse_resource(manifest)
    except SpecInvalidError:
        return None
    return stack if isinstance(stack, Stack) else None


def _ending(job: Live) -> str:
    """Why the Job is over, in its own words; empty while it is not."""
    for condition in job.status.get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason") or condition["type"])
    return ""


def _owner_uid(pod: Mapping[str, Any]) -> str:
    references = pod["metadata"].get("ownerReferences") or ()
    return next((reference["uid"] for reference in references if reference.get("controller")), "")


def _reports(pods: Iterable[Mapping[str, Any]]) -> dict[str, Report]:
    """By role; of a Job's several pods, one that reported."""
    found: dict[str, Report] = {}
    for pod in pods:
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            report = parse_report(((status.get("state") or {}).get("terminated") or {}).get("message") or "")
            if report is not None:
                found[pod["metadata"]["labels"][ROLE_LABEL]] = report
    return found
