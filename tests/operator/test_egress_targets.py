"""Where a stack's inference pods connect to: every address of the spec, with its field."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rlm_operator.egress_targets import EgressTarget, egress_targets
from rlm_operator.endpoint import Address, External, InCluster, ServiceName
from tests.operator.setting_rules import ACCEPTED, model, tools
from tests.operator.specs import build_stack


def test_a_stack_with_one_model_connects_to_its_endpoint() -> None:
    assert egress_targets(build_stack()) == [
        EgressTarget(
            "the root model",
            "spec.model.baseURL",
            "https://api.openai.com/v1",
            External("api.openai.com", 443),
        )
    ]


def test_a_sub_model_with_an_endpoint_of_its_own_is_a_second_target() -> None:
    stack = build_stack(subModel={"name": "s", "baseURL": "http://vllm:8000/v1", "keyless": True})
    assert [(target.field, target.endpoint) for target in egress_targets(stack)][1:] == [
        ("spec.subModel.baseURL", InCluster(ServiceName("team", "vllm"), 8000))
    ]


def test_a_sub_model_at_the_root_models_endpoint_is_no_target_of_its_own() -> None:
    assert len(egress_targets(build_stack(subModel={"name": "s"}))) == 1


def test_every_tool_is_a_target_with_its_place_in_the_spec() -> None:
    targets = egress_targets(
        build_stack(**tools(["10.1.2.3:8080"], url="http://10.1.2.3:8080/", allowPrivateAddresses=True))
    )
    assert targets[1:] == [
        EgressTarget(
            "the tool find_order",
            "spec.tools.functions[0].url",
            "http://10.1.2.3:8080/",
            Address(IPv4Address("10.1.2.3"), 8080),
        )
    ]


def test_behind_a_proxy_only_the_proxy_is_a_target() -> None:
    stack = build_stack(**model(proxy="http://proxy.corp.test:3128"), subModel={"name": "s"})
    assert [(target.purpose, target.field, target.endpoint) for target in egress_targets(stack)] == [
        ("the proxy of the root model", "spec.model.proxy", External("proxy.corp.test", 3128))
    ]


def test_object_store_and_trace_collector_are_targets() -> None:
    stack = build_stack(**ACCEPTED["a bucket"], **ACCEPTED["traces with content"])
    assert [(target.field, target.endpoint) for target in egress_targets(stack)][1:] == [
        ("spec.storage.objectStore.endpoint", InCluster(ServiceName("team", "minio"), 9000)),
        ("spec.tracing.otlpEndpoint", InCluster(ServiceName("observability", "collector"), 4318)),
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [("s3://b", "s3.amazonaws.com"), ("gs://b/p", "storage.googleapis.com"), ("az://c", "blob.core.windows.net")],
)
def test_a_bucket_without_an_endpoint_is_at_its_provider(url: str, host: str) -> None:
    stack = build_stack(storage={"type": "ObjectStore", "objectStore": {"url": url}})
    assert egress_targets(stack)[-1].endpoint == External(host, 443)
