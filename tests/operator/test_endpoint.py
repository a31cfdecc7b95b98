"""Where a model's address points."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rlm_operator.endpoint import Address, Endpoint, External, InCluster, Loopback, parse_endpoint


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://api.openai.com/v1", External("api.openai.com", 443)),
        ("https://API.openai.com.:8443/v1", External("api.openai.com", 8443)),
        ("http://gateway.example/v1", External("gateway.example", 80)),
        ("http://vllm/v1", InCluster("team")),
        ("http://vllm.models.svc:8000/v1", InCluster("models")),
        ("http://vllm.models.svc.cluster.local", InCluster("models")),
        ("http://203.0.113.7/v1", Address(ip_address("203.0.113.7"), 80)),
        ("https://[2001:db8::7]:8443/v1", Address(ip_address("2001:db8::7"), 8443)),
        ("http://127.0.0.1:9000/v1", Loopback()),
        ("http://[::1]/v1", Loopback()),
        ("http://localhost/v1", Loopback()),
    ],
)
def test_an_address_is_classified_by_its_text(url: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(url, "team") == endpoint
