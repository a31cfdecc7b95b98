"""Where a model's address points."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rlm_operator.endpoint import Address, Endpoint, External, InCluster, Loopback, ServiceName, parse_endpoint


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://api.openai.com/v1", External("api.openai.com", 443)),
        ("https://API.openai.com.:8443/v1", External("api.openai.com", 8443)),
        ("http://gateway.example/v1", External("gateway.example", 80)),
        ("http://vllm/v1", InCluster(ServiceName("team", "vllm"), 80)),
        ("http://vllm.models.svc:8000/v1", InCluster(ServiceName("models", "vllm"), 8000)),
        ("http://vllm.models.svc.cluster.local", InCluster(ServiceName("models", "vllm"), 80)),
        ("http://203.0.113.7/v1", Address(ip_address("203.0.113.7"), 80)),
        ("https://[2001:db8::7]:8443/v1", Address(ip_address("2001:db8::7"), 8443)),
        ("http://127.0.0.1:9000/v1", Loopback()),
        ("http://[::1]/v1", Loopback()),
        ("http://localhost/v1", Loopback()),
        ("http://llm.localhost/v1", Loopback()),
        ("http://127.1/v1", Loopback()),
        ("http://[::ffff:127.0.0.1]/v1", Loopback()),
        ("http://2852039166/v1", Address(ip_address("169.254.169.254"), 80)),
        ("http://0xa9.254.0xa9fe/v1", Address(ip_address("169.254.169.254"), 80)),
        ("http://[::ffff:169.254.169.254]/v1", Address(ip_address("169.254.169.254"), 80)),
        ("http://[64:ff9b::169.254.169.254]/v1", Address(ip_address("169.254.169.254"), 80)),
        ("http://vllm.models:8000/v1", External("vllm.models", 8000)),
        ("http://0251.0376.0251.0376/v1", Address(ip_address("169.254.169.254"), 80)),
        ("http://4294967296/v1", InCluster(ServiceName("team", "4294967296"), 80)),
        ("http://1.2.3.4.5/v1", External("1.2.3.4.5", 80)),
    ],
)
def test_an_address_is_classified_by_its_text(url: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(url, "team") == endpoint
