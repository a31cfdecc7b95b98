"""What stands before a stack: Services with annotations and aliases, Ingress, HTTPRoute."""

from __future__ import annotations

import pytest

from rlm_operator.conditions import Reason
from rlm_operator.errors import SpecInvalidError
from rlm_operator.inputs import Inputs
from rlm_operator.render import render
from rlm_operator.resource import Manifest, Stack
from rlm_operator.unserved import find_unserved
from tests.operator.specs import IMAGES, INPUTS, build_pool, build_stack, one

HOST = {"host": "rlm.example.com"}
ROUTE = {**HOST, "gatewayRef": {"name": "public", "namespace": "gateways", "sectionName": "https"}}
WITH_GATEWAY = Inputs(images=IMAGES, served=frozenset({"HTTPRoute"}))
READ_TIMEOUT = "nginx.ingress.kubernetes.io/proxy-read-timeout"


def exposed(**inference: Manifest) -> Stack:
    return build_stack(inference=inference)


def test_an_ingress_leads_the_host_to_the_service_and_leaves_streams_alone() -> None:
    children = render(exposed(ingress=HOST, service={"port": 8080}), INPUTS)
    ingress = one(children, "Ingress")
    [rule] = ingress["spec"]["rules"]
    assert rule["host"] == "rlm.example.com"
    [path] = rule["http"]["paths"]
    assert path["backend"] == {"service": {"name": "demo", "port": {"number": 8080}}}
    assert ingress["metadata"]["annotations"][READ_TIMEOUT] == "3600"
    assert not {"tls", "ingressClassName"} & ingress["spec"].keys()


def test_what_a_user_annotates_wins_over_the_defaults_for_streams() -> None:
    settings = {**HOST, "className": "nginx", "tlsSecretRef": {"name": "cert"}, "annotations": {READ_TIMEOUT: "60"}}
    ingress = one(render(exposed(ingress=settings), INPUTS), "Ingress")
    assert ingress["metadata"]["annotations"][READ_TIMEOUT] == "60"
    assert ingress["spec"]["tls"] == [{"hosts": ["rlm.example.com"], "secretName": "cert"}]
    assert ingress["spec"]["ingressClassName"] == "nginx"


def test_a_route_hangs_on_its_gateway_without_timeouts_where_the_cluster_serves_routes() -> None:
    stack = exposed(httpRoute=ROUTE)
    spec = one(render(stack, WITH_GATEWAY), "HTTPRoute")["spec"]
    assert spec["parentRefs"] == [ROUTE["gatewayRef"]]
    assert spec["rules"][0]["timeouts"]["request"] == "0s"
    assert find_unserved(stack, WITH_GATEWAY.served) == []


def test_a_route_is_left_out_and_told_where_the_cluster_does_not_serve_it() -> None:
    stack = exposed(httpRoute=ROUTE)
    assert "HTTPRoute" not in {child["kind"] for child in render(stack, INPUTS)}
    [(reason, words)] = find_unserved(stack, INPUTS.served)
    assert reason is Reason.API_MISSING
    assert "gateway.networking.k8s.io/v1" in words


@pytest.mark.parametrize(
    ("inference", "open_to_all"),
    [({}, False), ({"ingress": HOST}, True), ({"httpRoute": ROUTE}, True), ({"service": {"type": "NodePort"}}, True)],
    ids=["nothing", "an Ingress", "a route", "a node port"],
)
def test_callers_from_elsewhere_are_let_in_exactly_when_the_stack_is_exposed(
    inference: Manifest, open_to_all: bool
) -> None:
    assert exposed(**inference).spec.inference.is_exposed is open_to_all
    rules = one(render(exposed(**inference), INPUTS), "NetworkPolicy")["spec"]["ingress"]
    assert any("from" not in rule for rule in rules) is open_to_all


def test_annotations_of_the_service_are_on_the_service() -> None:
    annotations = {"service.beta.kubernetes.io/aws-load-balancer-internal": "true"}
    service = one(render(exposed(service={"annotations": annotations}), INPUTS), "Service", "demo")
    assert annotations.items() <= service["metadata"]["annotations"].items()


def test_an_alias_is_a_further_service_for_the_same_pods() -> None:
    children = render(build_pool(service={"name": "wasm-repl-service"}), INPUTS)
    alias, own = (one(children, "Service", name) for name in ("wasm-repl-service", "shared-wasm"))
    assert alias["spec"] == own["spec"]


@pytest.mark.parametrize("name", ["shared-wasm", "shared-wasm-pods"])
def test_an_alias_that_is_a_name_of_the_pool_anyway_makes_no_further_service(name: str) -> None:
    services = [child for child in render(build_pool(service={"name": name}), INPUTS) if child["kind"] == "Service"]
    assert sorted(service["metadata"]["name"] for service in services) == ["shared-wasm", "shared-wasm-pods"]


@pytest.mark.parametrize("word", ["configuration-snippet", "auth-url", "auth-tls-secret", "proxy-ssl-secret"])
def test_annotations_by_which_a_controller_lends_its_rights_are_refused(word: str) -> None:
    with pytest.raises(SpecInvalidError, match="work with the rights of the controller"):
        exposed(ingress={**HOST, "annotations": {f"nginx.ingress.kubernetes.io/{word}": "x"}})


@pytest.mark.parametrize("host", ["", "no_underscore.example.com", "*", "localhost", "rlm.example.com/", "a..b"])
def test_a_host_that_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(SpecInvalidError, match=r"inference\.ingress\.host"):
        exposed(ingress={"host": host})
