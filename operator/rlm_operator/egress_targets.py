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
    model, sub = stack.spec.model, stack.spec.sub_model
    yield "the root model", "spec.model.baseURL", model.base_url
    if sub is not None and sub.base_url is not None:
        yield "the sub model", "spec.subModel.baseURL", sub.base_url
    for index, function in enumerate(stack.spec.tools.functions):
        yield f"the tool {function.name}", f"spec.tools.functions[{index}].url", function.url
