"""Targets that a stack may not name: refused with the field, the reason and what to do, and never opened."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from rlm_operator.bounds import Bounds
from rlm_operator.egress_refusals import find_refused_targets
from rlm_operator.endpoint import ServiceName
from rlm_operator.network_facts import NetworkFacts, ServiceFact
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from tests.operator.specs import INPUTS, build_stack, one

FACTS = NetworkFacts(
    services={
        ServiceName("team", "alias"): ServiceFact({}, {}, external_name="metadata.test"),
        ServiceName("team", "address"): ServiceFact({}, {}, external_name="169.254.169.254"),
        ServiceName("models", "vllm"): ServiceFact({"app": "vllm"}, {80: 80}),
    },
    addresses={
        "metadata.test": (ip_address("203.0.113.9"), ip_address("169.254.169.254")),
        "loop.test": (ip_address("127.0.0.1"),),
        "node.test": (ip_address("10.0.0.4"),),
        "private.test": (ip_address("10.8.0.1"),),
        "public.test": (ip_address("203.0.113.9"),),
        "gone.test": (),
    },
    nodes=frozenset({ip_address("10.0.0.4"), ip_address("2001:db8::4")}),
    api_servers=frozenset({ip_address("10.96.0.1")}),
)


def refusals(bounds: Bounds, url: str, **spec: Any) -> list[str]:
    inputs = dataclasses.replace(INPUTS, network=FACTS, bounds=bounds, in_cluster=True)
    stack = build_stack(model={"name": "m", "baseURL": url}, **spec)
    found = [target.message for target in find_refused_targets(stack, inputs)]
    egress = one(render(stack, inputs), "NetworkPolicy")["spec"]["egress"]
    if found:
        assert len(egress) == 2, "what is refused is not opened"
    return found


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://localhost:9000/v1", "it is the pod itself"),
        ("http://127.0.0.1/v1", "it is the pod itself"),
        ("http://0.0.0.0/v1", "not the address of one host"),
        ("http://224.0.0.1/v1", "not the address of one host"),
        ("http://2852039166/latest", "169.254.169.254 is the cloud's metadata service"),
        ("http://[::ffff:169.254.169.254]/latest", "169.254.169.254 is the cloud's metadata service"),
        ("http://[fd00:ec2::254]/latest", "fd00:ec2::254 is the cloud's metadata service"),
        ("http://100.100.100.200/latest", "the cloud's metadata service"),
        ("http://[64:ff9b::a9fe:102]/v1", "169.254.1.2 is a link-local address"),
        ("https://10.0.0.4:10250/v1", "10.0.0.4 is a node of the cluster"),
        ("https://[2001:db8::4]/v1", "2001:db8::4 is a node of the cluster"),
        ("https://10.96.0.1/v1", "10.96.0.1 is the API server of the cluster"),
        ("https://kubernetes.default.svc/v1", "kubernetes.default.svc is the API server of the cluster"),
        ("https://kubernetes.default.svc.cluster.local/v1", "kubernetes.default.svc is the API server"),
        ("https://metadata.test/v1", "metadata.test, at 169.254.169.254, is the cloud's metadata service"),
        ("https://loop.test/v1", "loop.test, at 127.0.0.1, is a loopback address"),
        ("https://node.test/v1", "node.test, at 10.0.0.4, is a node of the cluster"),
        ("http://alias/v1", "alias.team.svc leads to metadata.test, at 169.254.169.254, is the cloud's metadata"),
        ("http://address/v1", "alias"),
    ],
)
def test_a_target_that_nobody_may_name_is_refused(url: str, what: str) -> None:
    [message] = refusals(Bounds(), url)
    assert message.startswith("spec.model.baseURL may not be used: ")
    assert what in message or "address.team.svc leads to 169.254.169.254 is the cloud's metadata service" in message
    assert message.endswith("write the address of the endpoint itself")


@pytest.mark.parametrize(
    "url",
    ["https://public.test/v1", "https://private.test/v1", "https://gone.test/v1", "http://vllm.models.svc/v1"],
    ids=["public", "private", "a name that does not resolve", "a Service"],
)
def test_other_targets_are_not(url: str) -> None:
    assert refusals(Bounds(), url) == []


def test_a_file_may_name_a_model_on_the_same_machine() -> None:
    assert find_refused_targets(build_stack(model={"name": "m", "baseURL": "http://localhost:9000"}), INPUTS) == []


@pytest.mark.parametrize(
    ("allowed", "url", "is_allowed"),
    [
        ("public.test", "https://public.test/v1", True),
        ("public.test", "https://PUBLIC.test./v1", True),
        ("*.test", "https://public.test/v1", True),
        ("*.public.test", "https://public.test/v1", False),
        ("ublic.test", "https://public.test/v1", False),
        ("public.test", "https://public.test.evil.example/v1", False),
        ("vllm.models.svc", "http://vllm.models.svc.cluster.local/v1", True),
        ("vllm.models.svc", "http://vllm.models/v1", True),
        ("vllm.models.svc", "http://vllm/v1", False),
        ("203.0.113.9", "https://203.0.113.9/v1", True),
        ("public.test", "https://203.0.113.9/v1", False),
    ],
)
def test_allowed_hosts_bound_every_address(allowed: str, url: str, is_allowed: bool) -> None:
    found = refusals(Bounds(allowed_hosts=(allowed,)), url)
    assert bool(found) != is_allowed
    assert all(
        "not among the hosts that the administrator allows (--allowed-llm-hosts)" in message for message in found
    )


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://203.0.113.7/v1", True),
        ("https://198.51.100.7/v1", False),
        ("https://public.test/v1", True),
        ("https://private.test/v1", False),
        ("https://gone.test/v1", True),
    ],
    ids=["inside", "outside", "a name inside", "a name outside", "a name that does not resolve"],
)
def test_allowed_ranges_bound_addresses_and_what_names_resolve_to(url: str, is_allowed: bool) -> None:
    found = refusals(Bounds(allowed_cidrs=(ip_network("203.0.113.0/24"),)), url)
    assert bool(found) != is_allowed
    assert all("--allowed-egress-cidrs 203.0.113.0/24" in message for message in found)


def test_a_range_that_the_administrator_closed_is_refused() -> None:
    [message] = refusals(Bounds(refused_cidrs=(ip_network("10.8.0.0/16"),)), "https://private.test/v1")
    assert "private.test, at 10.8.0.1, is in a range that the administrator closed" in message


@pytest.mark.parametrize(
    ("cidr", "words"),
    [
        ("169.254.0.0/16", "lies in a range that is closed to all stacks"),
        ("169.254.169.0/24", "lies in a range that is closed to all stacks"),
        ("10.0.0.4/32", "10.0.0.4/32 is a node of the cluster"),
        ("10.96.0.1/32", "10.96.0.1/32 is the API server of the cluster"),
        ("10.7.0.0/16", "10.7.0.0/16 is outside of what the administrator allows"),
        ("0.0.0.0/0", "0.0.0.0/0 is outside of what the administrator allows"),
    ],
)
def test_a_written_range_that_holds_only_what_is_closed_is_refused(cidr: str, words: str) -> None:
    egress: Manifest = {"mode": "Replace", "rules": [{"to": [{"ipBlock": {"cidr": cidr}}]}]}
    bounds = Bounds(allowed_cidrs=(ip_network("203.0.113.0/24"),))
    [message] = refusals(bounds, "https://public.test/v1", networkPolicy={"egress": egress})
    assert message.startswith("spec.networkPolicy.egress.rules[0] may not be used: ")
    assert words in message
