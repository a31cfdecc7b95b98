"""Hypothesis strategies for what a stack says of its models' requests, tools, keys, storage and traces."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rlm_operator.resource import Manifest
from tests.operator.setting_rules import tools


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Manifest]:
    """An object with any subset of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


prices = st.fixed_dictionaries({"input": st.floats(0, 1000), "output": st.floats(0, 1000)})
endpoint_fields = optional(
    extraHeaders=st.dictionaries(st.sampled_from(["x-team", "X-Client"]), st.sampled_from(["", "a b"])),
    extraQuery=st.dictionaries(st.sampled_from(["api-version", "q"]), st.text(max_size=9)),
    extraBody=st.dictionaries(st.sampled_from(["temperature", "stop"]), st.integers() | st.lists(st.text(max_size=3))),
    caBundleRef=st.sampled_from([{"name": "bundle"}, {"name": "bundle", "key": "root.pem"}]),
    proxy=st.sampled_from(["http://proxy:3128", "https://proxy.corp.test"]),
    contextWindow=st.integers(1000, 100_000_000),
)
tool_specs = st.sampled_from(
    [
        {},
        {"allowedHosts": ["a.test"]},
        tools()["tools"],
        tools(
            method="POST",
            headers={"x-client": "rlm"},
            secretHeaders={"authorization": {"secretKeyRef": {"name": "orders"}, "prefix": "Bearer "}},
            parameters={"properties": {"number": {"type": "integer"}}, "required": ["number"]},
            timeout="500ms",
        )["tools"],
    ]
)
storages = st.sampled_from(
    [
        {},
        {"maxFileBytes": "1Mi", "retention": "1h30m", "storeRuns": False},
        {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "runs"}},
        {"type": "ObjectStore", "objectStore": {"url": "gs://bucket/prefix"}, "maxRunBytes": "20Gi"},
        {"type": "ObjectStore", "objectStore": {"url": "s3://b", "secretRef": {"name": "s3"}}},
    ]
)
tracings = st.sampled_from([{}, {"otlpEndpoint": "http://collector:4318"}])
key_limits = optional(
    requestsPerMinute=st.integers(1, 1_000_000),
    fileBytes=st.sampled_from(["1", "1.5Gi"]),
    exceptions=st.dictionaries(
        st.sampled_from(["alice", "bob.smith"]), optional(concurrentRuns=st.integers(0, 9), fileBytes=st.just("0"))
    ),
)
run_waits = optional(
    reuseAnswers=st.booleans(),
    maxChildRuns=st.integers(1, 1000),
    compactAboveTokens=st.integers(0, 10**8),
    sandboxStartTimeout=st.sampled_from(["0s", "2m"]),
    recoveryTimeout=st.sampled_from(["500ms", "1h"]),
)


@st.composite
def setting_specs(draw: st.DrawFn, spec: Manifest) -> Manifest:
    """`spec` with these settings laid over it; what it has stays."""
    spec["model"] |= draw(endpoint_fields)
    if "subModel" in spec:
        spec["subModel"] |= draw(endpoint_fields)
    spec["rlm"] |= draw(run_waits)
    spec["inference"] |= draw(optional(keyLimits=key_limits, adminKeys=st.just(["alice"]), maxBodyBytes=st.just("1Mi")))
    spec |= draw(optional(tools=tool_specs, storage=storages, tracing=tracings))
    if draw(st.booleans()):
        _price(spec, draw(prices))
    return spec


def _price(spec: Manifest, price: Manifest) -> None:
    """Every model costs the same, and money is bounded."""
    spec["model"]["price"] = price
    if "subModel" in spec:
        spec["subModel"]["price"] = price
    spec["rlm"] |= {"maxCostUSD": 0.25, "prices": dict.fromkeys(spec["rlm"].get("allowedModels", ()), price)}
