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
}
