"""What a target of the spec opens, with and without what the cluster knows; and the rule that it becomes."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from rlm_operator.bounds import Bounds
from rlm_operator.endpoint import ServiceName
from rlm_operator.inputs import Inputs
from rlm_operator.live import observe
from rlm_operator.network_facts import NetworkFacts, ServiceFact
from rlm_operator.network_isolation import network_isolated
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from tests.operator.objects import stored
from tests.operator.specs import INPUTS, build_pool, build_stack, one

VLLM = ServiceName("models", "vllm")
IN_CLUSTER = {"model": {"name": "m", "baseURL": "http://vllm.models.svc:8080/v1"}}
SHORT = {"model": {"name": "m", "baseURL": "http://vllm.models:8080/v1"}}
PODS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "models"}},
    "podSelector": {"matchLabels": {"app": "vllm"}},
}


def service(**spec: Any) -> ServiceFact:
    return ServiceFact.of({"spec": {"selector": {"app": "vllm"}, "ports": [{"port": 8080}], **spec}})


def knowing(fact: ServiceFact | None, **addresses: str) -> Inputs:
    resolved = {name.replace("_", "."): (ip_address(address),) for name, address in addresses.items()}
    return dataclasses.replace(INPUTS, network=NetworkFacts({VLLM: fact}, resolved), in_cluster=True)


def opened(inputs: Inputs, **spec: Any) -> list[Manifest]:
    """The egress rules after those for DNS and the pool."""
    rules: list[Manifest] = one(render(build_stack(**spec), inputs), "NetworkPolicy")["spec"]["egress"]
    return rules[2:]


def told(inputs: Inputs, **spec: Any) -> str:
    stack = build_stack(**spec)
    return network_isolated(stack, observe(stored(one(render(stack, inputs), "NetworkPolicy"))), inputs).message


@pytest.mark.parametrize(
    ("spec", "port"),
    [
        ({"ports": [{"port": 8080, "targetPort": 9000}]}, 9000),
        ({"ports": [{"port": 8080, "targetPort": "http"}]}, "http"),
        ({"ports": [{"port": 80, "targetPort": 1}, {"port": 8080}]}, 8080),
        ({"ports": [{"port": 80, "targetPort": 9000}], "clusterIP": "None"}, 8080),
        ({"ports": [{"port": 8080, "protocol": "UDP", "targetPort": 1}, {"port": 8080, "targetPort": 2}]}, 2),
    ],
    ids=["another port", "a named port", "the same port", "headless", "not of UDP"],
)
@pytest.mark.parametrize("address", [IN_CLUSTER, SHORT], ids=["name.namespace.svc", "name.namespace"])
def test_a_service_opens_its_pods_at_their_own_port(address: Manifest, spec: Manifest, port: int | str) -> None:
    assert opened(knowing(service(**spec)), **address) == [{"to": [PODS], "ports": [{"protocol": "TCP", "port": port}]}]


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (None, "does not exist: create it"),
        (service(selector=None), "its addresses are written by hand: name them in networkPolicy.egress.rules"),
        (service(ports=[{"port": 80}]), "has no TCP port 8080: correct the address, or add the port to the Service"),
    ],
    ids=["missing", "without pods", "without the port"],
)
def test_a_service_that_leads_nowhere_opens_nothing_and_says_why(fact: ServiceFact | None, words: str) -> None:
    assert opened(knowing(fact), **IN_CLUSTER) == []
    message = told(knowing(fact), **IN_CLUSTER)
    assert "Nothing is opened for spec.model.baseURL: Service vllm in namespace models " in message
    assert words in message


def test_a_service_that_nobody_could_look_at_opens_its_namespace_and_says_so() -> None:
    [rule] = opened(INPUTS, **IN_CLUSTER)
    assert rule["to"] == [{"namespaceSelector": PODS["namespaceSelector"]}]
    assert "all TCP ports of that namespace's pods are open" in told(INPUTS, **IN_CLUSTER)


def test_a_service_that_stands_for_a_name_opens_what_the_name_would() -> None:
    alias = ServiceFact.of({"spec": {"type": "ExternalName", "externalName": "api.openai.com"}})
    assert opened(knowing(alias), **IN_CLUSTER) == opened(
        INPUTS, model={"name": "m", "baseURL": "http://api.openai.com:8080"}
    )


def test_a_name_of_two_labels_that_is_no_service_is_outside() -> None:
    [rule] = opened(knowing(None), **SHORT)
    assert rule["to"][0]["ipBlock"]["cidr"] == "0.0.0.0/0"


def test_allowed_ranges_take_the_place_of_the_internet() -> None:
    allowed = (ip_network("203.0.113.0/24"), ip_network("169.0.0.0/8"))
    inputs = dataclasses.replace(INPUTS, bounds=Bounds(allowed_cidrs=allowed))
    [rule] = opened(inputs)
    assert [peer["ipBlock"] for peer in rule["to"]] == [
        {"cidr": "203.0.113.0/24"},
        {"cidr": "169.0.0.0/8", "except": ["169.254.169.254/32", "169.254.0.0/16"]},
    ]
    assert "the ranges that the administrator allows" in told(inputs)


def test_private_addresses_of_a_public_name_stay_closed_and_are_told() -> None:
    inputs = knowing(None, api_openai_com="10.1.2.3")
    assert "api.openai.com has private addresses (10.1.2.3), which are not opened" in told(inputs)
    assert "10.0.0.0/8" in opened(inputs)[0]["to"][0]["ipBlock"]["except"]


RULE = {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}
WRITTEN = {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]}


def test_the_mode_decides_what_becomes_of_derived_destinations() -> None:
    derived = opened(INPUTS)
    extended = opened(INPUTS, networkPolicy={"egress": {"mode": "Extend", "rules": [RULE]}})
    replaced = opened(INPUTS, networkPolicy={"egress": {"mode": "Replace", "rules": [RULE]}})
    closed = opened(INPUTS, networkPolicy={"egress": {"mode": "Replace"}})
    assert (extended, replaced, closed) == ([*derived, WRITTEN], [WRITTEN], [])


def test_a_written_range_never_holds_the_metadata_service_or_the_api_server() -> None:
    facts = NetworkFacts(api_servers=frozenset({ip_address("10.9.9.9")}))
    inputs = dataclasses.replace(INPUTS, network=facts)
    rule = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "100.64.0.0/10"]}}]}
    [written] = opened(inputs, networkPolicy={"egress": {"mode": "Replace", "rules": [rule]}})
    closed = written["to"][0]["ipBlock"]["except"]
    assert closed[:2] == ["169.254.0.0/16", "100.64.0.0/10"]
    assert {"127.0.0.0/8", "168.63.129.16/32", "10.9.9.9/32"} <= set(closed)
    assert not {"169.254.169.254/32", "100.100.100.200/32"} & set(closed)  # within what is closed already


def test_clients_of_a_stack_take_the_place_of_its_namespace() -> None:
    gateway = {"namespaceSelector": {"matchLabels": {"team": "gateway"}}}
    for service_type in ("ClusterIP", "LoadBalancer"):
        stack = build_stack(networkPolicy={"clients": [gateway]}, inference={"service": {"type": service_type}})
        [rule] = one(render(stack, INPUTS), "NetworkPolicy")["spec"]["ingress"]
        siblings = {"podSelector": {"matchLabels": {"rlm-operator.dev/network": "demo-rlm"}}}
        assert rule["from"] == [siblings, gateway]


def test_monitoring_namespaces_reach_the_metrics_port_of_both_planes_and_no_other() -> None:
    inputs = dataclasses.replace(INPUTS, bounds=Bounds(monitoring_namespaces=("monitoring",)))
    for resource in (build_stack(), build_pool()):
        [_, rule] = one(render(resource, inputs), "NetworkPolicy")["spec"]["ingress"]
        assert rule == {
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "ports": [{"protocol": "TCP", "port": 9090}],
        }


def test_an_unmanaged_pool_has_no_policy() -> None:
    children = render(build_pool(networkPolicy={"management": "Unmanaged"}), INPUTS)
    assert "NetworkPolicy" not in {child["kind"] for child in children}


CILIUM = dataclasses.replace(INPUTS, served=frozenset({"CiliumNetworkPolicy"}), in_cluster=True)


def test_where_cilium_is_names_are_opened_by_name_and_the_internet_is_not() -> None:
    sub_model = {"name": "s", "baseURL": "https://other.test:8443/v1", "keyless": True}
    children = render(build_stack(subModel=sub_model), CILIUM)
    assert opened(CILIUM, subModel=sub_model) == []
    policy = one(children, "CiliumNetworkPolicy")
    assert policy["metadata"]["name"] == "demo-rlm"
    assert policy["spec"]["endpointSelector"] == {"matchLabels": {"rlm-operator.dev/network": "demo-rlm"}}
    dns, *names = policy["spec"]["egress"]
    assert dns["toPorts"][0]["rules"] == {"dns": [{"matchPattern": "*"}]}
    assert names == [
        {
            "toFQDNs": [{"matchName": "api.openai.com"}],
            "toPorts": [{"ports": [{"port": "443", "protocol": "TCP"}]}],
        },
        {
            "toFQDNs": [{"matchName": "other.test"}],
            "toPorts": [{"ports": [{"port": "8443", "protocol": "TCP"}]}],
        },
    ]
    kinds = [child["kind"] for child in children]
    assert kinds.index("CiliumNetworkPolicy") < kinds.index("NetworkPolicy"), "no moment with neither"
    assert "Cilium opens api.openai.com by name." in told(CILIUM)


def test_whatever_a_name_leads_to_metadata_nodes_and_api_server_stay_denied() -> None:
    facts = NetworkFacts(api_servers=frozenset({ip_address("203.0.113.1")}))
    inputs = dataclasses.replace(CILIUM, network=facts)
    addresses, entities = one(render(build_stack(), inputs), "CiliumNetworkPolicy")["spec"]["egressDeny"]
    denied = {entry["cidr"] for entry in addresses["toCIDRSet"]}
    assert {"169.254.0.0/16", "127.0.0.0/8", "fd00:ec2::254/128", "203.0.113.1/32"} <= denied
    assert entities["toEntities"] == ["host", "remote-node", "kube-apiserver"]
    assert addresses["toPorts"] == entities["toPorts"] == [{"ports": [{"port": "443", "protocol": "TCP"}]}]


@pytest.mark.parametrize(
    ("inputs", "spec"),
    [
        (CILIUM, {"model": {"name": "m", "baseURL": "https://203.0.113.7/v1"}}),
        (CILIUM, {"networkPolicy": {"management": "Unmanaged"}}),
        (CILIUM, {"networkPolicy": {"egress": {"mode": "Replace"}}}),
        (dataclasses.replace(CILIUM, bounds=Bounds(allowed_cidrs=(ip_network("0.0.0.0/1"),))), {}),
    ],
    ids=["no name", "unmanaged", "replaced", "bounded by ranges"],
)
def test_without_a_name_to_open_there_is_no_policy_for_cilium(inputs: Inputs, spec: Manifest) -> None:
    assert "CiliumNetworkPolicy" not in {child["kind"] for child in render(build_stack(**spec), inputs)}
