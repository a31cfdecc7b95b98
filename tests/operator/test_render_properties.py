"""What holds for the children of every spec, whatever it says: isolation, limits, names and wiring."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hypothesis import assume, given

from rlm_operator.inputs import Inputs
from rlm_operator.kinds import AUTOSCALER_KINDS, CUSTOM_METRICS
from rlm_operator.names import NETWORK_LABEL
from rlm_operator.render import render, render_all
from rlm_operator.resource import Manifest, Pool, Resource, Stack
from rlm_operator.spec.base import Quantity
from tests.operator.schema_specs import pools, stacks
from tests.operator.specs import IMAGES, INPUTS, PROPERTY, build_pool, one

RESOURCES = stacks | pools
DNS_LABEL = re.compile(r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")


def pod_of(children: list[Manifest]) -> Manifest:
    pod: Manifest = one(children, "Deployment")["spec"]["template"]
    return pod


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]


def is_selected(labels: dict[str, str], selector: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


@PROPERTY
@given(resource=RESOURCES)
def test_rendering_twice_gives_the_same(resource: Resource) -> None:
    assert render(resource, INPUTS) == render(resource, INPUTS)


@PROPERTY
@given(resource=RESOURCES)
def test_pods_are_restricted_by_pod_security(resource: Resource) -> None:
    pod = pod_of(render(resource, INPUTS))["spec"]
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    kinds = {"secret", "emptyDir", "configMap", "projected", "persistentVolumeClaim"}
    assert all(set(volume) - {"name"} <= kinds for volume in pod["volumes"])
    for container in containers({"spec": pod}):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@PROPERTY
@given(resource=RESOURCES)
def test_pods_get_no_token_and_no_addresses_of_other_services(resource: Resource) -> None:
    children = render(resource, INPUTS)
    pod = pod_of(children)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert one(children, "ServiceAccount")["automountServiceAccountToken"] is False


@PROPERTY
@given(resource=RESOURCES)
def test_every_container_has_requests_within_limits_and_probes(resource: Resource) -> None:
    for container in containers(pod_of(render(resource, INPUTS))):
        amounts = container["resources"]
        for name in ("cpu", "memory"):
            assert Quantity(amounts["requests"][name]).value <= Quantity(amounts["limits"][name]).value
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


@PROPERTY
@given(resource=RESOURCES)
def test_scratch_space_is_bounded(resource: Resource) -> None:
    volumes = pod_of(render(resource, INPUTS))["spec"]["volumes"]
    assert all("sizeLimit" in volume["emptyDir"] for volume in volumes if "emptyDir" in volume)


@PROPERTY
@given(pool=pools)
def test_a_sandbox_connects_to_nothing_and_answers_only_on_its_port(pool: Pool) -> None:
    assume(pool.spec.network_policy.management == "Managed")
    children = render(pool, INPUTS)
    policy = one(children, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    [rule] = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert rule["from"]
    assert is_selected(pod_of(children)["metadata"]["labels"], policy["podSelector"]["matchLabels"])


@PROPERTY
@given(pool=pools)
def test_a_sandbox_pod_mounts_its_callers_keys_its_certificate_and_no_other_secret(pool: Pool) -> None:
    volumes = pod_of(render(pool, INPUTS))["spec"]["volumes"]
    certificate = {"Operator": ["-wasm-tls"], "CertManager": ["-wasm-certificate"], "Disabled": []}
    wanted = [pool.key_secret, *(pool.identity.name + suffix for suffix in certificate[pool.spec.tls.mode])]
    assert [volume["secret"]["secretName"] for volume in volumes if "secret" in volume] == wanted


@PROPERTY
@given(stack=stacks)
def test_no_rule_of_the_inference_policy_is_open_to_every_address_and_port(stack: Stack) -> None:
    policies = [child for child in render(stack, INPUTS) if child["kind"] == "NetworkPolicy"]
    assert len(policies) == (stack.spec.network_policy.management == "Managed")
    for policy in policies:
        for rule in policy["spec"]["egress"]:
            assert rule["to"]
            assert rule["ports"]
            for peer in rule["to"]:
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0":
                    assert {"169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(block["except"])


@PROPERTY
@given(stack=stacks)
def test_the_sandbox_lets_in_the_pods_of_the_stacks_that_use_it(stack: Stack) -> None:
    pool = build_pool(stack.pool_name)
    labels = pod_of(render(stack, INPUTS))["metadata"]["labels"]
    [rule] = one(render(pool, INPUTS), "NetworkPolicy")["spec"]["ingress"]
    assert is_selected(labels, rule["from"][0]["podSelector"]["matchLabels"])


@PROPERTY
@given(resource=RESOURCES)
def test_selectors_find_the_pods_and_only_of_this_resource(resource: Resource) -> None:
    children = render(resource, INPUTS)
    labels = pod_of(children)["metadata"]["labels"]
    selectors = [child["spec"]["selector"] for child in children if child["kind"] == "Service"]
    selectors += [
        child["spec"]["selector"]["matchLabels"]
        for child in children
        if child["kind"] in ("Deployment", "PodDisruptionBudget")
    ]
    for selector in selectors:
        assert is_selected(labels, selector)
        assert selector["app.kubernetes.io/instance"] == resource.identity.name
        assert "app.kubernetes.io/component" in selector
        assert NETWORK_LABEL not in selector


@PROPERTY
@given(resource=RESOURCES)
def test_every_setting_variable_names_a_key_that_is_there_and_each_key_has_one(resource: Resource) -> None:
    children = render(resource, INPUTS)
    config = one(children, "ConfigMap", one(children, "Deployment")["metadata"]["name"])
    [container] = containers(pod_of(children))
    named = [entry["valueFrom"]["configMapKeyRef"] for entry in container["env"] if "valueFrom" in entry]
    assert [reference["key"] for reference in named] == list(config["data"])
    assert {reference["name"] for reference in named} == {config["metadata"]["name"]}
    assert all(isinstance(value, str) for value in config["data"].values())
    assert {"log-level", "log-format"} <= config["data"].keys()
    assert len({entry["name"] for entry in container["env"]}) == len(container["env"])


@PROPERTY
@given(resource=RESOURCES)
def test_every_mounted_volume_exists_and_every_volume_is_mounted(resource: Resource) -> None:
    pod = pod_of(render(resource, INPUTS))["spec"]
    [container] = pod["containers"]
    mounts = container["volumeMounts"]
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod["volumes"]}
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
    assert all(mount["readOnly"] for mount in mounts if mount["mountPath"] not in ("/tmp", "/var/lib/rlm"))


@PROPERTY
@given(resource=RESOURCES)
def test_names_are_valid_and_distinct(resource: Resource) -> None:
    children = render_all([resource], IMAGES)
    assert all(DNS_LABEL.match(child["metadata"]["name"]) for child in children)
    identities = [(child["kind"], child["metadata"]["name"]) for child in children]
    assert len(set(identities)) == len(identities)


@PROPERTY
@given(resource=RESOURCES)
def test_secrets_are_rendered_without_data(resource: Resource) -> None:
    for child in render_all([resource], IMAGES):
        if child["kind"] == "Secret":
            assert "data" not in child
            assert "stringData" not in child


@PROPERTY
@given(resource=RESOURCES)
def test_the_disruption_budget_lets_a_drain_end(resource: Resource) -> None:
    workload = resource.spec.inference if isinstance(resource, Stack) else resource.spec
    budgets = [child["spec"] for child in render(resource, INPUTS) if child["kind"] == "PodDisruptionBudget"]
    assert len(budgets) == (workload.floor > 0)
    for budget in budgets:
        if isinstance(budget.get("minAvailable"), int):
            assert budget["minAvailable"] < workload.floor


@PROPERTY
@given(resource=RESOURCES)
def test_an_autoscaler_exists_exactly_when_asked_for_and_scales_the_deployment(resource: Resource) -> None:
    workload = resource.spec.inference if isinstance(resource, Stack) else resource.spec
    for served in (frozenset[str](), frozenset(["ScaledObject", CUSTOM_METRICS])):
        children = render(resource, Inputs(images=IMAGES, served=served))
        scalers = [child["spec"] for child in children if child["kind"] in AUTOSCALER_KINDS]
        assert len(scalers) == (workload.autoscaling is not None)
        for scaler in scalers:
            assert scaler["scaleTargetRef"]["name"] == one(children, "Deployment")["metadata"]["name"]


@PROPERTY
@given(resource=RESOURCES)
def test_no_field_is_null(resource: Resource) -> None:
    assert all(leaf is not None for leaf in leaves(render_all([resource], IMAGES)))
