"""Specs of stacks that break one rule each, by the beginning of the message: tools, models, budgets, storage, traces.

The unit tests parse them, the integration tests have the API server refuse them.
"""

from __future__ import annotations

from typing import Any, Final

from rlm_operator.resource import Manifest

_TOOL: Final[Manifest] = {"name": "find_order", "description": "Looks an order up.", "url": "https://api.test/v1"}


def tools(hosts: list[str] | None = None, **fields: Any) -> Manifest:
    """`spec` with one tool of the host `api.test`; `fields` replace those of the tool."""
    return {"tools": {"allowedHosts": hosts or ["api.test"], "functions": [{**_TOOL, **fields}]}}


def model(**fields: Any) -> Manifest:
    """`spec` with more said of the root model."""
    return {"model": {"name": "m", "baseURL": "https://llm.test/v1", **fields}}


SETTING_RULES: Final[dict[str, Manifest]] = {
    "the name of this tool is taken": tools(name="print"),
    "url of a tool must not be a link-local": tools(
        ["169.254.169.254"], url="http://169.254.169.254/latest", allowPrivateAddresses=True
    ),
    "a header has a name": tools(headers={"x y": "1"}),
    "a header that each request sets": tools(secretHeaders={"Host": {"secretKeyRef": {"name": "s"}}}),
    "timeout of a tool must be": tools(timeout="6m"),
    "maxResponseBytes of a tool must be": tools(maxResponseBytes="5Mi"),
    "url of a tool is not encrypted": tools(url="http://api.test/v1"),
    "url of a tool has an address": tools(["0x7f.1"], url="https://0x7f.1/v1"),
    "url of a tool has a {name}": tools(url="https://api.test/v1/{number}"),
    "tools.functions has a url whose host": tools(["api.test"], url="https://api.test:8443/v1"),
    "extraHeaders are no secrets": model(extraHeaders={"Api-Key": "k"}),
    "proxy must not be a link-local": model(proxy="http://169.254.169.254"),
    "cost is counted when every model": {"rlm": {"maxCostUSD": 1}},
    "rlm.sandboxStartTimeout and rlm.recoveryTimeout must be": {"rlm": {"recoveryTimeout": "2h"}},
    "keyLimits.fileBytes must be": {"inference": {"keyLimits": {"fileBytes": "0"}}},
    "inference.maxBodyBytes must be": {"inference": {"maxBodyBytes": "2Gi"}},
    "storage.maxFileBytes and storage.maxRunBytes must be": {"storage": {"maxRunBytes": "1k"}},
    "storage.retention must be": {"storage": {"retention": "1s"}},
    "storage.type names the one field beside it": {"storage": {"type": "ObjectStore"}},
    "storage of type Ephemeral is": {"storage": {"maxFileBytes": "700Mi"}},
    "tracing.content has no effect": {"tracing": {"content": True}},
}

PRICE: Final[Manifest] = {"input": 1.25, "output": 10}
UNPRICED: Final[dict[str, Manifest]] = {
    "a sub model": {**model(price=PRICE), "subModel": {"name": "s"}},
    "a further model": {**model(price=PRICE), "rlm": {"allowedModels": ["other"]}},
    "the root model": {**model(), "subModel": {"name": "s", "price": PRICE}},
    "all, with a table of others": {**model(), "rlm": {"prices": {"other": PRICE}}},
}
"""Stacks that leave one model without a price."""
ACCEPTED: Final[dict[str, Manifest]] = {
    "every model has a price": {
        **model(price=PRICE),
        "subModel": {"name": "s", "price": {"input": 0, "output": 0.5}},
        "rlm": {"maxCostUSD": 0.5, "allowedModels": ["other", "s", "m"], "prices": {"other": PRICE}},
    },
    "a sub model of the root's name": {**model(price=PRICE), "subModel": {"name": "m"}, "rlm": {"maxCostUSD": 2}},
    "extras of a model": model(
        extraHeaders={"X-Team": "search"},
        extraQuery={"api-version": "2025-01-01"},
        extraBody={"temperature": 0, "reasoning": {"effort": "low"}, "stop": ["a"]},
        caBundleRef={"name": "bundle"},
        proxy="http://proxy.corp.test:3128",
        contextWindow=400000,
    ),
    "a claim": {
        "storage": {
            "type": "PersistentVolumeClaim",
            "persistentVolumeClaim": {"claimName": "runs"},
            "maxFileBytes": "9Gi",
        }
    },
    "a bucket": {
        "storage": {
            "type": "ObjectStore",
            "objectStore": {"url": "s3://b/p", "endpoint": "http://minio:9000", "secretRef": {"name": "s3"}},
        }
    },
    "limits of keys": {
        "inference": {
            "keyLimits": {
                "requestsPerMinute": 60,
                "exceptions": {"alice": {"requestsPerMinute": 0, "fileBytes": "1Gi"}},
            },
            "adminKeys": ["alice"],
        }
    },
    "traces with content": {"tracing": {"otlpEndpoint": "http://collector.observability.svc:4318", "content": True}},
}
"""Stacks that use what the rules allow."""
