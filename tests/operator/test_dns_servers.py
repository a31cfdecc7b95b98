"""DNS of a cluster that is elsewhere than usual: the administrator's words, and what is opened for inference pods."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address
from pathlib import Path

import pytest
from pydantic import ValidationError

from rlm_operator.bounds import Bounds
from rlm_operator.dns_servers import DnsServers, parse_dns_servers
from rlm_operator.render import render
from rlm_operator.resource import Manifest
from rlm_operator.settings import Settings
from tests.controlplane.policy_evaluator import Connection, Endpoint, find_allowed
from tests.operator.specs import INPUTS, build_pool, build_stack, one

SAID = "openshift-dns:5353, 169.254.25.10:53,[fd00::a]:53"
MEANT = (
    DnsServers("openshift-dns", 5353),
    DnsServers(ip_address("169.254.25.10"), 53),
    DnsServers(ip_address("fd00::a"), 53),
)


def test_namespaces_and_addresses_are_told_apart() -> None:
    assert parse_dns_servers(SAID) == MEANT
    assert parse_dns_servers("") == ()
    assert [servers.cidr for servers in MEANT] == [None, "169.254.25.10/32", "fd00::a/128"]


@pytest.mark.parametrize(
    "text", ["openshift-dns", "openshift-dns:0", "dns:65536", "1.2.3.4.5:53", "Up:53", "fd00::a:53"]
)
def test_what_is_neither_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValidationError, match=r"does not appear|openshift-dns:5353 or"):
        Settings.model_validate({"dns_servers": text})


def test_the_setting_is_among_the_bounds() -> None:
    assert Settings.model_validate({"dns_servers": SAID}).bounds.dns_servers == MEANT


def test_inference_pods_reach_these_servers_and_sandboxes_do_not(tmp_path: Path) -> None:
    inputs = dataclasses.replace(INPUTS, bounds=Bounds(dns_servers=MEANT[:2]))
    stack = build_stack(networkPolicy={"egress": {"mode": "Replace", "rules": []}})
    policy = one(render(stack, inputs), "NetworkPolicy")
    pod = Endpoint("inference", "10.0.0.1", "team", policy["spec"]["podSelector"]["matchLabels"])
    other = Endpoint("sandbox", "10.0.0.2", "team", {"rlm-operator.dev/network": "demo-wasm"})
    openshift = Endpoint("openshift", "10.0.0.3", "openshift-dns", {"app": "dns"})
    usual = Endpoint("coredns", "10.0.0.4", "kube-system", {"app": "dns"})
    cache = Endpoint("cache", "169.254.25.10")
    meant = {
        Connection(pod, openshift, 5353, "UDP"),
        Connection(pod, openshift, 5353),
        Connection(pod, cache, 53, "UDP"),
        Connection(pod, usual, 53, "UDP"),
    }
    refused = {Connection(pod, openshift, 53, "UDP"), Connection(pod, cache, 80), Connection(pod, usual, 5353, "UDP")}
    sandbox = one(render(build_pool("demo"), inputs), "NetworkPolicy")
    refused |= {Connection(other, openshift, 5353, "UDP"), Connection(other, cache, 53, "UDP")}
    assert find_allowed([policy, sandbox], [*meant, *refused], tmp_path) == meant


def test_cilium_sees_the_answers_of_these_servers_too() -> None:
    inputs = dataclasses.replace(INPUTS, served=frozenset({"CiliumNetworkPolicy"}), bounds=Bounds(dns_servers=MEANT))
    egress = one(render(build_stack(), inputs), "CiliumNetworkPolicy")["spec"]["egress"]
    proxied: list[Manifest] = [rule for rule in egress if "dns" in rule["toPorts"][0].get("rules", {})]
    assert [rule["toPorts"][0]["ports"][0]["port"] for rule in proxied] == ["53", "5353", "53", "53"]
    assert [rule.get("toCIDR") for rule in proxied] == [None, None, ["169.254.25.10/32"], ["fd00::a/128"]]
