"""What the operator asks of the cluster about a stack's addresses: only what they call for, and not again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from rlm_operator.cluster import Access, Cluster, open_cluster
from rlm_operator.endpoint import IPAddress, ServiceName
from rlm_operator.network_facts import ServiceFact
from rlm_operator.resolver import Resolver
from rlm_operator.resource import Manifest
from rlm_operator.surroundings import Surroundings
from tests.operator.scripted_api import ScriptedApi, write_kubeconfig
from tests.operator.specs import build_stack

VLLM = "/api/v1/namespaces/models/services/vllm"
SERVICE: Manifest = {"spec": {"selector": {"app": "vllm"}, "ports": [{"port": 80, "targetPort": 8000}]}}
NODE: Manifest = {
    "metadata": {"name": "n1"},
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.4"},
            {"type": "Hostname", "address": "n1"},
            {"type": "ExternalIP", "address": "203.0.113.4"},
        ]
    },
}


@pytest.fixture
def api() -> ScriptedApi:
    api = ScriptedApi()
    api.answer("GET", "/api/v1/nodes", {"items": [NODE], "metadata": {"resourceVersion": "1"}})
    api.answer("GET", "/api/v1/namespaces/default/services/kubernetes", {"spec": {"clusterIPs": ["10.96.0.1"]}})
    api.answer(
        "GET",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
        {"endpoints": [{"addresses": ["192.0.2.7"]}]},
    )
    return api


@pytest.fixture
async def cluster(api: ScriptedApi, tmp_path: Path) -> AsyncIterator[Cluster]:
    server = await api.start()
    (tmp_path / "token").write_text("token")
    config = write_kubeconfig(tmp_path / "config", str(server.make_url("")).rstrip("/"), tmp_path / "token")
    cluster = await open_cluster(Access(config))
    yield cluster
    await cluster.close()
    await server.close()


def directory(host: str) -> tuple[IPAddress, ...]:
    return {"api.openai.com": (ip_address("203.0.113.9"),), "far.test": (ip_address("203.0.113.8"),)}[host]


def look_around(cluster: Cluster, *namespaces: str) -> Surroundings:
    return Surroundings(cluster, Resolver(directory), namespaces, "https://192.0.2.9:6443")


def asked(api: ScriptedApi) -> list[str]:
    return [request.path for request in api.requests]


async def test_a_name_is_resolved_and_nodes_and_api_server_are_known(api: ScriptedApi, cluster: Cluster) -> None:
    facts = await look_around(cluster).observe(build_stack())
    assert facts.addresses == {"api.openai.com": (ip_address("203.0.113.9"),)}
    assert facts.nodes == {ip_address("10.0.0.4"), ip_address("203.0.113.4")}
    assert facts.api_servers == {ip_address("10.96.0.1"), ip_address("192.0.2.7"), ip_address("192.0.2.9")}


async def test_what_was_asked_is_not_asked_again(api: ScriptedApi, cluster: Cluster) -> None:
    api.answer("GET", VLLM, SERVICE)
    surroundings = look_around(cluster)
    stack = build_stack(model={"name": "m", "baseURL": "http://vllm.models"}, subModel={"name": "s"})
    first = await surroundings.observe(stack)
    assert first.services == {ServiceName("models", "vllm"): ServiceFact({"app": "vllm"}, {80: 8000})}
    assert await surroundings.observe(stack) == first
    assert asked(api) == [VLLM]


async def test_a_service_that_stands_for_a_name_has_that_name_resolved(api: ScriptedApi, cluster: Cluster) -> None:
    api.answer("GET", VLLM, {"spec": {"type": "ExternalName", "externalName": "far.test."}})
    facts = await look_around(cluster).observe(build_stack(model={"name": "m", "baseURL": "http://vllm.models.svc"}))
    assert facts.addresses == {"far.test": (ip_address("203.0.113.8"),)}


async def test_an_operator_of_some_namespaces_asks_for_nothing_outside_of_them(
    api: ScriptedApi, cluster: Cluster
) -> None:
    surroundings = look_around(cluster, "team")
    facts = await surroundings.observe(build_stack(model={"name": "m", "baseURL": "http://vllm.models.svc"}))
    assert facts.services == {}
    facts = await surroundings.observe(build_stack())
    assert facts.api_servers == {ip_address("192.0.2.9")}
    assert asked(api) == []


async def test_a_service_that_is_missing_is_known_to_be(cluster: Cluster) -> None:
    facts = await look_around(cluster).observe(build_stack(model={"name": "m", "baseURL": "http://vllm"}))
    assert facts.services == {ServiceName("team", "vllm"): None}


async def test_an_operator_whose_role_is_older_than_itself_works_without_what_it_may_not_see(
    api: ScriptedApi, cluster: Cluster
) -> None:
    refusal = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "nodes is forbidden"}
    del api.answers["GET /api/v1/nodes"]
    api.answer("GET", "/api/v1/nodes", refusal, status=403)
    facts = await look_around(cluster).observe(build_stack())
    assert facts.nodes == frozenset()
    assert ip_address("10.96.0.1") in facts.api_servers
