"""Every address that a stack's inference pods connect to because its spec says so: one list, for policies and status.

The pool and DNS are not in it: they follow from names, not from a URL. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rlm_operator.endpoint import Endpoint, parse_endpoint
from rlm_operator.resource import Stack


@dataclass(frozen=True)
class EgressTarget:
    """`purpose` is for people, such as "the root model"; `field` is where the spec says `url`."""

    purpose: str
    field: str
    url: str
    endpoint: Endpoint


def egress_targets(stack: Stack) -> list[EgressTarget]:
    """In the order of the spec, the root model first; an address that two fields name is there twice."""
    return [
        EgressTarget(purpose, field, url, parse_endpoint(url, stack.identity.namespace))
        for purpose, field, url in _addresses(stack)
    ]


def _addresses(stack: Stack) -> Iterator[tuple[str, str, str]]:
    spec = stack.spec
    yield _model("root model", "spec.model", spec.model.proxy, spec.model.base_url)
    if (sub := spec.sub_model) and (sub.proxy or sub.base_url):
        yield _model("sub model", "spec.subModel", sub.proxy, sub.base_url or spec.model.base_url)
    for index, function in enumerate(spec.tools.functions):
        yield f"the tool {function.name}", f"spec.tools.functions[{index}].url", function.url
    if store := spec.storage.object_store:
        field = "url" if store.endpoint is None else "endpoint"
        yield "the object store", f"spec.storage.objectStore.{field}", store.endpoint or _provider(store.url)
    if spec.tracing.otlp_endpoint:
        yield "the trace collector", "spec.tracing.otlpEndpoint", spec.tracing.otlp_endpoint


def _model(name: str, field: str, proxy: str | None, url: str) -> tuple[str, str, str]:
    """With a proxy, the pods connect to it and to nothing behind it."""
    if proxy:
        return f"the proxy of the {name}", f"{field}.proxy", proxy
    return f"the {name}", f"{field}.baseURL", url


def _provider(url: str) -> str:
    """Where the provider of `s3://…`, `gs://…` or `az://…` answers; its buckets have names below it."""
    return {
        "s3": "https://s3.amazonaws.com",
        "gs": "https://storage.googleapis.com",
        "az": "https://blob.core.windows.net",
    }[url.partition(":")[0]]
