"""From a custom resource to its children, in the order in which they are applied. Pure.

The operator, `rlmctl render` and `rlmctl dev` all call this. What the operator applies differs from what a file renders
to in the owner references alone, which need the resource's uid; generated Secrets are rendered without random data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from rlm_operator.availability import build_availability, may_rest, replicas_wanted
from rlm_operator.inputs import Images, Inputs, PoolTerms
from rlm_operator.kinds import CUSTOM_METRICS
from rlm_operator.monitoring.children import monitoring_children
from rlm_operator.names import pool_key_secret, pool_pods_service, stack_key_secret, stack_sandbox_key_secret
from rlm_operator.objects.cilium_policy import build_cilium_policy
from rlm_operator.objects.config_map import build_config_map, sandbox_settings
from rlm_operator.objects.demand import build_demand_ingress
from rlm_operator.objects.deployment import build_deployment
from rlm_operator.objects.inference import build_inference_workspace
from rlm_operator.objects.inference_settings import inference_settings
from rlm_operator.objects.network_policy import build_inference_policy, build_sandbox_policy
from rlm_operator.objects.owner import Plane, build_owned, plane_of
from rlm_operator.objects.pod import build_pod_template
from rlm_operator.objects.route import build_http_route, build_ingress
from rlm_operator.objects.sandbox import build_sandbox_workspace
from rlm_operator.objects.sandbox_pool import build_sandbox_pool
from rlm_operator.objects.secret import build_generated_secret, pool_certificate_secrets
from rlm_operator.objects.service import (
    build_endpoint_service,
    build_pool_pods_service,
    build_pool_service,
    build_stack_pods_service,
)
from rlm_operator.objects.service_account import build_service_account
from rlm_operator.objects.tls import build_pool_certificates, build_stack_certificates
from rlm_operator.objects.tools import build_tools_config_map
from rlm_operator.openings import find_openings
from rlm_operator.resource import Manifest, Pool, Resource, Stack, parse_resource
from rlm_operator.spec.exposure import PoolService
from rlm_operator.spec.pool import SandboxPoolSpec
from rlm_operator.spec.stack import Inference

_ASSUMED: Final = frozenset({"ScaledObject", CUSTOM_METRICS})
"""What a cluster is taken to serve when nobody can ask it: what a spec asks for by name."""


def render(resource: Resource, inputs: Inputs) -> list[Manifest]:
    """The children of one resource. Policies come before pods, so that no pod ever runs without its policy."""
    plane = plane_of(resource.identity)
    match resource:
        case Stack():
            children = _stack_children(plane, resource, inputs)
        case Pool():
            children = _pool_children(plane, resource, inputs)
    rests = may_rest(resource.spec, inputs.served)
    children += monitoring_children(plane, resource.spec.monitoring, inputs.served, may_rest=rests)
    return [build_owned(child, resource.identity) for child in children]


def render_all(resources: Iterable[Resource], images: Images, served: frozenset[str] = frozenset()) -> list[Manifest]:
    """The children of several resources that no cluster holds yet, with those of the pools that stacks own.

    `served`: those of kinds.OPTIONAL_CHILD_KINDS that the cluster will serve.
    """
    resources = list(resources)
    pools = {(pool.identity.namespace, pool.identity.name): pool for pool in resources if isinstance(pool, Pool)}
    manifests: list[Manifest] = []
    for resource in resources:
        inputs = Inputs(images=images, served=_ASSUMED | served)
        if isinstance(resource, Stack):
            pool = pools.get((resource.pool_namespace, resource.pool_name))
            inputs = replace(inputs, pool=terms_of(pool.spec) if pool else None)
        children = render(resource, inputs)
        manifests += children
        owned = [parse_resource(child) for child in children if child["kind"] == "SandboxPool"]
        manifests += render_all(owned, images, served)
    return manifests


def terms_of(pool: SandboxPoolSpec) -> PoolTerms:
    """What the stacks that use this pool must know of it."""
    key_secret = pool.auth.secret_ref.name if pool.auth.secret_ref else None
    wants_keda = pool.autoscaling is not None and pool.autoscaling.wants_keda
    return PoolTerms(key_secret=key_secret, tls=pool.tls, wants_keda=wants_keda)


def terms_for(stack: Stack, referenced: PoolTerms | None) -> PoolTerms:
    """Of the stack's own pool, else of the one it refers to, else those of a pool with all defaults."""
    owned = stack.spec.owned_pool
    return terms_of(owned) if owned is not None else referenced or PoolTerms()


def sandbox_key_secret(stack: Stack, terms: PoolTerms) -> str:
    """Secret in the stack's namespace with its key of the pool: the user's own, where pods can mount it."""
    if terms.key_secret is not None and stack.pool_namespace == stack.identity.namespace:
        return terms.key_secret
    return stack_sandbox_key_secret(stack.identity.name)


def _stack_children(plane: Plane, stack: Stack, inputs: Inputs) -> list[Manifest]:
    spec = stack.spec
    children = [build_service_account(plane), build_config_map(plane, inference_settings(spec))]
    if spec.tools.functions:
        children.append(build_tools_config_map(plane, spec.tools))
    if spec.inference.auth.mode == "APIKey" and spec.inference.auth.secret_ref is None:
        children.append(build_generated_secret(plane, stack_key_secret(stack.identity.name)))
    terms = terms_for(stack, inputs.pool)
    if terms.key_secret is None:
        children.append(build_generated_secret(plane, stack_sandbox_key_secret(stack.identity.name)))
    children += build_stack_certificates(plane, stack, terms, inputs.served)
    if spec.network_policy.management == "Managed":
        openings = find_openings(stack, inputs)
        by_name = build_cilium_policy(plane, openings, inputs)
        children += [] if by_name is None else [by_name]
        keda = terms.wants_keda and "ScaledObject" in inputs.served
        further = [build_demand_ingress(inputs.keda_namespace)] if keda else []
        children.append(build_inference_policy(plane, stack, openings, inputs, further))
    if spec.owned_pool is not None:
        children.append(build_sandbox_pool(plane, spec.owned_pool, suspend=spec.suspend))
    workspace = build_inference_workspace(
        plane, stack, inputs.images.inference, sandbox_key_secret(stack, terms), terms
    )
    replicas = replicas_wanted(spec.inference, inputs, suspended=spec.suspend)
    children += [
        build_endpoint_service(plane, spec.inference.service),
        build_stack_pods_service(plane),
        build_deployment(plane, build_pod_template(plane, workspace), replicas),
    ]
    return children + _routes(plane, spec.inference, inputs.served) + build_availability(plane, spec.inference, inputs)


def _pool_children(plane: Plane, pool: Pool, inputs: Inputs) -> list[Manifest]:
    spec = pool.spec
    children = [build_service_account(plane), build_config_map(plane, sandbox_settings(spec))]
    if spec.auth.secret_ref is None:
        children.append(build_generated_secret(plane, pool_key_secret(pool.identity.name)))
    issued = pool_certificate_secrets(pool.identity.name)
    children += build_pool_certificates(plane, pool, issued, inputs.served)
    workspace = build_sandbox_workspace(plane, pool, inputs.images.for_guest(spec.image, spec.image_digest))
    if spec.network_policy.management == "Managed":
        children.append(build_sandbox_policy(plane, spec, inputs))
    replicas = replicas_wanted(spec, inputs, suspended=spec.suspend)
    children += [
        build_pool_service(plane),
        build_pool_pods_service(plane),
        *_aliases(plane, spec.service),
        build_deployment(plane, build_pod_template(plane, workspace), replicas),
    ]
    return children + build_availability(plane, spec, inputs)


def _routes(plane: Plane, inference: Inference, served: frozenset[str]) -> list[Manifest]:
    port = inference.service.port
    routes = [] if inference.ingress is None else [build_ingress(plane, inference.ingress, port)]
    if inference.http_route is not None and "HTTPRoute" in served:
        routes.append(build_http_route(plane, inference.http_route, port))
    return routes


def _aliases(plane: Plane, service: PoolService) -> list[Manifest]:
    """A further name, unless it is one that the pool has anyway."""
    own = (None, plane.workload, pool_pods_service(plane.instance))
    return [] if service.name in own else [build_pool_service(plane, service.name)]
