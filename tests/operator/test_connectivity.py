"""Rendered policies give exactly the connections that are meant, as judged by a simulator that is not ours.

Stacks and pools of two namespaces, beside pods of others. Every connection from or to one of our pods is judged, on
every port that anything listens on: what MEANT lists is let through, everything else is not.
"""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest

from rlm_operator.bounds import Bounds
from rlm_operator.endpoint import ServiceName
from rlm_operator.names import API_VERSION
from rlm_operator.network_facts import NetworkFacts, ServiceFact
from rlm_operator.render import render
from rlm_operator.resource import Manifest, Resource, parse_resource
from tests.controlplane.policy_evaluator import Connection, Endpoint, find_allowed
from tests.operator.specs import INPUTS, MODEL, one

PORTS: Final = (53, 443, 8000, 8443, 9001, 9090)
INPUTS_HERE: Final = dataclasses.replace(
    INPUTS,
    in_cluster=True,
    bounds=Bounds(monitoring_namespaces=("monitoring",)),
    network=NetworkFacts(
        services={ServiceName("models", "vllm"): ServiceFact({"app": "vllm"}, {80: "http"})},
        api_servers=frozenset({ip_address("192.0.2.1")}),
    ),
)


def resource(kind: str, namespace: str, name: str, **spec: Any) -> Resource:
    metadata = {"name": name, "namespace": namespace}
    return parse_resource({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})


def stack(namespace: str, name: str, **spec: Any) -> Resource:
    return resource("RLMStack", namespace, name, **{"model": MODEL, **spec})


def at(url: str) -> Manifest:
    return {"name": "m", "baseURL": url}


INGRESS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
NOTEBOOK = {**INGRESS, "podSelector": {"matchLabels": {"app": "notebook"}}}
NOTEBOOK["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": "research"}}
WIDE = {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]}

RESOURCES: Final = {
    # One stack with a pool of its own at a public name, one at a Service.
    "demo": stack("team", "demo"),
    "demo-sandbox": resource("SandboxPool", "team", "demo"),
    "second": stack("team", "second", model=at("http://vllm.models.svc/v1")),
    "second-sandbox": resource("SandboxPool", "team", "second"),
    # A pool that two stacks share, one of them of another namespace, and that a notebook may call.
    "shared-sandbox": resource("SandboxPool", "team", "shared", clients=[NOTEBOOK], allowedNamespaces=["other"]),
    "lent": stack(
        "team",
        "lent",
        model=at("https://203.0.113.7:8443/v1"),
        sandboxPoolRef={"name": "shared"},
        networkPolicy={"clients": [INGRESS]},
    ),
    "visitor": stack(
        "other",
        "visitor",
        sandboxPoolRef={"name": "shared", "namespace": "team"},
        networkPolicy={"egress": {"mode": "Replace", "rules": [WIDE]}},
    ),
    # The name of a stack of the other namespace, open to everyone; and one that names two models.
    "namesake": stack("other", "demo", inference={"service": {"type": "LoadBalancer"}}),
    "namesake-sandbox": resource("SandboxPool", "other", "demo"),
    "extended": stack(
        "other",
        "extended",
        model=at("https://203.0.113.7/v1"),
        subModel={"name": "s", "baseURL": "http://vllm.models/v1", "keyless": True},
        networkPolicy={"egress": {"mode": "Extend", "rules": [WIDE]}},
    ),
    "extended-sandbox": resource("SandboxPool", "other", "extended"),
    # Nothing of it is restricted but its pool.
    "open": stack("other", "open", sandboxPoolRef={"name": "extended"}, networkPolicy={"management": "Unmanaged"}),
}
OTHERS: Final = (
    Endpoint("colleague", "10.1.9.1", "team", {"app": "web"}),
    Endpoint("neighbour", "10.1.9.2", "other", {"app": "web"}),
    Endpoint("notebook", "10.1.9.3", "research", {"app": "notebook"}),
    Endpoint("impostor", "10.1.9.4", "other", {"app": "notebook"}),
    Endpoint("scraper", "10.1.9.5", "monitoring", {"app": "prometheus"}),
    Endpoint("controller", "10.1.9.6", "ingress", {"app": "controller"}),
    Endpoint("vllm", "10.1.9.7", "models", {"app": "vllm"}, {9001: "http"}),
    Endpoint("database", "10.1.9.8", "models", {"app": "database"}, {9001: "http"}),
    Endpoint("dns", "10.1.9.9", "kube-system", {"k8s-app": "kube-dns"}),
    Endpoint("internet", "198.51.100.9"),
    Endpoint("llm", "203.0.113.7"),
    Endpoint("api-server", "192.0.2.1"),
    Endpoint("published", "192.0.2.77"),
    Endpoint("metadata", "169.254.169.254"),
    Endpoint("node", "10.0.0.4"),
    Endpoint("office", "192.168.1.1"),
)
EVERYBODY: Final = [endpoint.name for endpoint in OTHERS]


def pod_of(number: int, name: str) -> Endpoint:
    """A pod of a resource, with the labels that its Deployment gives it."""
    found = RESOURCES[name]
    template = one(render(found, INPUTS_HERE), "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"]
    return Endpoint(name, f"10.1.0.{number}", found.identity.namespace, labels, {8000: "http", 9090: "metrics"})


OURS: Final = tuple(pod_of(number, name) for number, name in enumerate(RESOURCES, 1))
RESTRICTED: Final = [name for name in RESOURCES if name != "open"]
INFERENCE: Final = [name for name in RESTRICTED if not name.endswith("-sandbox")]


def pairs(sources: list[str] | str, destinations: list[str] | str, port: int) -> set[tuple[str, str, int]]:
    def listed(names: list[str] | str) -> list[str]:
        return names.split() if isinstance(names, str) else names

    return {(source, destination, port) for source in listed(sources) for destination in listed(destinations)}


MEANT: Final[set[tuple[str, str, int]]] = set().union(
    # Each stack calls its pool, and its replicas each other.
    pairs("demo", "demo-sandbox", 8000),
    pairs("second", "second-sandbox", 8000),
    pairs("lent visitor notebook", "shared-sandbox", 8000),
    pairs("namesake", "namesake-sandbox", 8000),
    pairs("extended open", "extended-sandbox", 8000),
    *(pairs([name], [name], 8000) for name in INFERENCE),
    # Who may ask: the namespace, those who are named, or everyone.
    pairs("colleague", "demo second", 8000),
    pairs("controller", "lent", 8000),
    pairs("neighbour impostor open", "visitor extended", 8000),
    pairs([*EVERYBODY, "open"], "namesake", 8000),
    # Metrics, for the monitoring namespace alone.
    pairs("scraper", RESTRICTED, 9090),
    # Out: DNS and what each names.
    pairs(INFERENCE, "dns", 53),
    pairs("demo namesake", "internet llm published", 443),
    pairs("second extended", "vllm", 9001),
    pairs("lent", "llm", 8443),
    pairs("extended", "llm", 443),
    pairs("visitor extended", "published", 443),
)


@pytest.fixture(scope="module")
def policies() -> list[Manifest]:
    rendered = [child for found in RESOURCES.values() for child in render(found, INPUTS_HERE)]
    return [child for child in rendered if child["kind"] == "NetworkPolicy"]


def attempts() -> list[Connection]:
    """Everything that begins or ends at a pod that a policy restricts."""
    everyone = (*OURS, *OTHERS)
    return [
        Connection(source, destination, port, protocol)
        for source in everyone
        for destination in everyone
        if {source.name, destination.name} & set(RESTRICTED)
        for port, protocol in [*((port, "TCP") for port in PORTS), (53, "UDP")]
    ]


def test_what_is_let_through_is_exactly_what_is_meant(policies: list[Manifest], tmp_path: Path) -> None:
    allowed = find_allowed(policies, attempts(), tmp_path)
    meant = {
        attempt for attempt in attempts() if (attempt.source.name, attempt.destination.name, attempt.port) in MEANT
    }
    assert len(MEANT) < len(meant) < len(attempts()) / 10  # DNS is there twice, and most are not meant
    assert sorted(map(str, allowed - meant)) == []
    assert sorted(map(str, meant - allowed)) == []


def test_without_policies_everything_is_let_through(tmp_path: Path) -> None:
    """So that the verdicts above are those of the policies."""
    some = attempts()[:50]
    unrelated = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "elsewhere", "namespace": "elsewhere"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    assert find_allowed([unrelated], some, tmp_path) == set(some)
