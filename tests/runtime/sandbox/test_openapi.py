"""The OpenAPI document describes the routes that there are, and the replies that they give."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from runtime.sandbox.app import create_app
from runtime.sandbox.openapi import build_document
from runtime.sandbox.service import SandboxService
from runtime.sandbox.settings import SandboxSettings
from tests.runtime.sandbox.client import SandboxClient, connect
from tests.runtime.sandbox.server import SandboxServer

UNDESCRIBED = {("get", "/openapi.json")}


async def test_the_document_is_served_without_a_key_and_is_what_the_models_give(server: SandboxServer) -> None:
    async with connect(server, key=None) as anybody:
        reply = await anybody.request("GET", "/openapi.json")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(reply.body) == build_document()


def test_every_route_is_described_and_no_other() -> None:
    app = create_app(SandboxService(SandboxSettings()), None)
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(method, path) for path, methods in build_document()["paths"].items() for method in methods}
    assert routes - UNDESCRIBED == described


def test_every_reference_leads_to_a_schema() -> None:
    document = build_document()
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    assert {"ExecuteRequest", "CellReply", "ErrorBody"} <= references


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/execute", {"code": "print(1); x = 1"}),
        ("post", "/execute", {"cells": ["1", "ask()"], "host_functions": ["ask"]}),
        ("post", "/sessions", {"prelude": "1"}),
        ("post", "/sessions/touch", {"ids": []}),
    ],
)
async def test_replies_have_the_fields_of_their_schema(
    client: SandboxClient, method: str, path: str, body: dict[str, Any]
) -> None:
    reply = await client.request(method.upper(), path, json=body)
    document = build_document()
    response = document["paths"][path][method]["responses"][str(reply.status)]
    name = response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    assert set(json.loads(reply.body)) == set(schema["properties"])
