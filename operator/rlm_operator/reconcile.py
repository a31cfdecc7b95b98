"""One pass over one custom resource: parse, render, apply, prune, observe, write status.

Level-triggered: the pass depends on what is, never on what changed, so it may run at any time, any number of times, and
writes nothing when nothing differs. `workers.py` calls it for each key of the queue.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rlm_operator.bounds import Bounds
from rlm_operator.bundle_look import BundleLook
from rlm_operator.cache import Cache
from rlm_operator.checklist.cached import assess_cached
from rlm_operator.children import Children
from rlm_operator.conditions import Condition, build_conditions, find_transitions, is_same_status
from rlm_operator.errors import NotFoundError, OwnerGoneError, SpecInvalidError
from rlm_operator.events import EventRecorder
from rlm_operator.feed import Feed
from rlm_operator.inputs import Images, Inputs, PoolTerms
from rlm_operator.isolation.planning import ProbeState
from rlm_operator.isolation.runs import IsolationProbe, Run
from rlm_operator.kinds import Ref
from rlm_operator.live import Live
from rlm_operator.metrics import Metrics
from rlm_operator.names import API_VERSION
from rlm_operator.network_facts import NOTHING_KNOWN
from rlm_operator.objects.autoscaler import uses_keda
from rlm_operator.objects.owner import plane_of
from rlm_operator.optional_apis import OptionalApis
from rlm_operator.ownership import Guard
from rlm_operator.pod_look import PodLook, seconds_to_next
from rlm_operator.pod_trouble import PodTrouble
from rlm_operator.recent_secrets import RecentSecrets
from rlm_operator.render import render, sandbox_key_secret, terms_for, terms_of
from rlm_operator.resource import Identity, Kind, Manifest, Pool, Resource, Stack, identify, parse_resource
from rlm_operator.rollout import Rollout
from rlm_operator.secret_needs import SecretNeed, SecretProblem, find_problem, secret_needs
from rlm_operator.status import Observation, Refusal, assess, assess_invalid, build_status, paused_condition
from rlm_operator.surroundings import Surroundings
from rlm_operator.trust.authority import Lifetimes
from rlm_operator.trust.credentials import Credentials, Settled
from rlm_operator.withholding import is_secret_withheld, refuse_targets, split_withheld

_POLL_SECONDS: Final = 60.0
"""How often the Secrets of a resource are looked at: they are not watched."""
_POLL_MISSING_SECONDS: Final = 10.0
_UNTOLD_SECONDS: Final = 2.0
"""Until a new resource whose status was not written is looked at again, unless its children tell something before."""


@dataclass(frozen=True)
class Outcome:
    """`again`: seconds until the next look, None when there is nothing to look at. `refused`: retry with backoff."""

    again: float | None = None
    refused: bool = False


class Reconciler:
    """Its collaborators live as long as the process."""

    def __init__(
        self,
        api: RecentSecrets,
        cache: Cache,
        feed: Feed,
        images: Images,
        optional: OptionalApis,
        surroundings: Surroundings,
        bounds: Bounds,
        isolation: IsolationProbe,
        recorder: EventRecorder,
        metrics: Metrics,
        namespaces: Sequence[str] = (),
        lifetimes: Lifetimes | None = None,
        *,
        is_pressed: Callable[[], bool],
        keda_namespace: str,
    ) -> None:
        """`is_pressed`: whether more urgent work waits than what can wait."""
        self._is_pressed = is_pressed
        self._keda_namespace = keda_namespace
        self._api = api
        self._cache = cache
        self._feed = feed
        self._images = images
        self._optional = optional
        self._surroundings = surroundings
        self._bounds = bounds
        self._isolation = isolation
        self._recorder = recorder
        self._metrics = metrics
        self._namespaces = namespaces
        self._children = Children(api, cache, metrics)
        self._credentials = Credentials(api, cache, feed, metrics, lifetimes or Lifetimes())
        self._pods = PodLook(api)
        self._bundles = BundleLook(api)

    async def reconcile(self, key: Ref) -> Outcome:
        """Raises UnavailableError when the API server does not answer; the caller tries again later."""
        manifest = self._cache.resource(key)
        if manifest is None or "deletionTimestamp" in manifest["metadata"]:
            self._credentials.forget(key)
            return Outcome()
        try:
            return await self._reconcile(manifest)
        except OwnerGoneError:
            self._cache.drop_resource(key)
            return Outcome()

    async def _reconcile(self, manifest: Manifest) -> Outcome:
        previous = manifest.get("status") or {}
        try:
            resource = parse_resource(manifest)
        except SpecInvalidError as error:
            await self._report_invalid(manifest, str(error), previous)
            return Outcome()
        if resource.spec.paused:
            await self._report_paused(resource.identity, previous)
            return Outcome()
        needs = self._secret_needs(resource)
        inputs = await self._inputs(resource)
        guard, children = Guard(self._api, resource.identity), render(resource, inputs)
        is_new = previous.get("observedGeneration") is None
        terms = terms_for(resource, inputs.pool) if isinstance(resource, Stack) else PoolTerms()
        untouched = is_new and not self._cache.children_of(resource.identity.uid)
        settled = await self._credentials.settle(
            resource, guard, children, terms, inputs.served, is_untouched=untouched
        )
        problems = await self._secret_problems(resource.identity.namespace, needs, settled)
        refused = refuse_targets(resource, inputs)
        wanted, withheld = split_withheld(children, bool(refused) or is_secret_withheld(problems, self._bounds))
        state = ProbeState.of(previous)
        run = await self._plan_probe(resource, wanted, state)
        if run is not None:
            wanted, withheld = [*wanted, *run.jobs], withheld | run.standing
        refusals = [*settled.refusals, *refused, *await self._children.sync(guard, wanted, withheld, inputs.live)]
        made = {child["metadata"]["name"] for child in children if child["kind"] == "Secret"}
        rollout = Rollout.of(self._own(resource, "Deployment"))
        is_silent = guard.has_passed or (rollout.exists and not rollout.observed)
        if is_new and is_silent and not refusals and self._is_pressed():
            # Its children were just made. What they have to tell comes soon, and others wait for theirs.
            return Outcome(again=_UNTOLD_SECONDS)
        await self._credentials.retire(guard, made | {need.name for need in needs})
        now = datetime.datetime.now(datetime.UTC)
        pods = await self._pods.find_trouble(plane_of(resource.identity), rollout, now)
        observation = self._observe(resource, refusals, problems, inputs, pods, settled.certificates)
        verdict = await self._isolation.conclude(resource, run, _now()) if run and isinstance(resource, Pool) else None
        bundles = await self._bundles.find_problems(resource)
        observation = replace(observation, isolation=verdict or state, bundles=bundles)
        conditions = assess(resource, observation)
        status = build_status(resource, observation, conditions, previous, _now())
        await self._report(resource.identity, conditions, status, previous)
        is_waiting = bool(problems or bundles) or inputs.network.misses_a_service
        again = min(_POLL_MISSING_SECONDS if is_waiting else _POLL_SECONDS, seconds_to_next(rollout, now))
        again = again if settled.again is None else min(again, settled.again)
        if verdict is not None:
            again = 0.0  # the Jobs of the run go with the next pass
        return Outcome(again, refused=bool(refusals))

    async def _plan_probe(self, resource: Resource, children: list[Manifest], state: ProbeState | None) -> Run | None:
        if not isinstance(resource, Pool):
            return None
        return await self._isolation.plan(resource, children, state, datetime.datetime.now(datetime.UTC))

    async def _inputs(self, resource: Resource) -> Inputs:
        return Inputs(
            images=self._images,
            pool=self._pool_terms(resource) if isinstance(resource, Stack) else None,
            live=deployment.scale if (deployment := self._own(resource, "Deployment")) else None,
            served=self._optional.served,
            network=await self._surroundings.observe(resource) if isinstance(resource, Stack) else NOTHING_KNOWN,
            bounds=self._bounds,
            in_cluster=True,
            keda_namespace=self._keda_namespace,
        )

    def _pool_terms(self, stack: Stack) -> PoolTerms | None:
        """None while the pool does not exist, or can not be read."""
        manifest = self._pool(stack)
        if manifest is None:
            return None
        try:
            pool = parse_resource(manifest)
        except SpecInvalidError:
            return None
        return terms_of(pool.spec) if isinstance(pool, Pool) else None

    def _pool(self, stack: Stack) -> Manifest | None:
        return self._cache.resource(Ref(Kind.POOL, stack.pool_namespace, stack.pool_name))

    def _own(self, resource: Resource, kind: str) -> Live | None:
        """The resource's own workload object of a kind, if it exists."""
        identity = resource.identity
        live = self._cache.child(Ref(kind, identity.namespace, plane_of(identity).workload))
        return live if live is not None and live.owner is not None and live.owner.uid == identity.uid else None

    def _scaler_kind(self, resource: Resource) -> str:
        workload = resource.spec.inference if isinstance(resource, Stack) else resource.spec
        return "ScaledObject" if uses_keda(workload.autoscaling, self._optional.served) else "HorizontalPodAutoscaler"

    def _secret_needs(self, resource: Resource) -> list[SecretNeed]:
        pool_secret = ""
        if isinstance(resource, Stack):
            pool_secret = sandbox_key_secret(resource, terms_for(resource, self._pool_terms(resource)))
        return secret_needs(resource, pool_secret)

    async def _secret_problems(
        self, namespace: str, needs: Sequence[SecretNeed], settled: Settled
    ) -> list[SecretProblem]:
        problems = []
        for need in needs:
            secret = settled.secrets.get(need.name) or await self._fetch_secret(namespace, need.name)
            problem = find_problem(need, secret, namespace, self._bounds)
            if problem is not None:
                problems.append(problem)
        return problems

    async def _fetch_secret(self, namespace: str, name: str) -> Manifest | None:
        try:
            return await self._api.fetch(Ref("Secret", namespace, name))
        except NotFoundError:
            return None

    def _observe(
        self,
        resource: Resource,
        refusals: Sequence[Refusal],
        problems: Sequence[SecretProblem],
        inputs: Inputs,
        pods: PodTrouble | None,
        certificates: Condition | None,
    ) -> Observation:
        pool = self._pool(resource) if isinstance(resource, Stack) else None
        return Observation(
            deployment=self._own(resource, "Deployment"),
            autoscaler=self._own(resource, self._scaler_kind(resource)),
            secret_problems=problems,
            refusals=refusals,
            pool=pool,
            policy=self._own(resource, "NetworkPolicy"),
            inputs=inputs,
            served=self._optional.served,
            checklist=assess_cached(self._cache, resource, pool),
            namespaces=self._namespaces,
            pods=pods,
            certificates=certificates,
        )

    async def _report_paused(self, identity: Identity, previous: Mapping[str, Any]) -> None:
        """Nothing is looked at, so the rest of the status stays, the generation that it speaks of included."""
        condition, known = paused_condition(), previous.get("conditions") or ()
        kept = [each for each in known if each["type"] != condition.type]
        built = build_conditions([condition], known, identity.generation, _now())
        await self._report(identity, [condition], {**previous, "conditions": [*kept, *built]}, previous)

    async def _report_invalid(self, manifest: Manifest, message: str, previous: Mapping[str, Any]) -> None:
        """The rest of the status stays as it was: the children of the last good spec are still there."""
        identity = identify(manifest)
        conditions = assess_invalid(message)
        built = build_conditions(conditions, previous.get("conditions") or (), identity.generation, _now())
        status = {**previous, "observedGeneration": identity.generation, "conditions": built}
        await self._report(identity, conditions, status, previous)

    async def _report(
        self, identity: Identity, conditions: Sequence[Condition], status: Manifest, previous: Mapping[str, Any]
    ) -> None:
        """Write the status if it differs, and Events for what changed."""
        if is_same_status(status, previous):
            return
        metadata = {"name": identity.name, "namespace": identity.namespace, "uid": identity.uid}
        body = {"apiVersion": API_VERSION, "kind": str(identity.kind), "metadata": metadata, "status": status}
        try:
            written = await self._api.apply_status(body)
        except NotFoundError as error:
            # A conflict is another matter: either a namesake has come, which a watch tells, or many wrote at once.
            raise OwnerGoneError(f"{identity.kind} {identity.name} is gone") from error
        self._metrics.writes.labels("status").inc()
        self._feed.record_status(written)
        await self._recorder.record(identity, find_transitions(conditions, previous.get("conditions") or ()))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
