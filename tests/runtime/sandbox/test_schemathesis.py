"""Requests made from the OpenAPI document, as it allows them and as it does not: none is a server error, and each reply
is one that the document describes."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runtime.sandbox.openapi import build_document
from tests.runtime.sandbox.server import KEYS, SandboxServer, run_server

AnyOperation = APIOperation[Any, Any, Any, Any]  # of any parameters and replies
AnyCase = schemathesis.Case[Any]

LIVE: Final = "live"
HEADERS: Final = {"Authorization": f"Bearer {KEYS['alice']}"}
CHECKS: Final[list[CheckFunction]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SCHEMA: Final = schemathesis.openapi.from_dict(build_document())
OPERATIONS: Final = [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]
ON_A_SESSION: Final = [operation for operation in OPERATIONS if "{id}" in operation.path]

# The same requests in each run: what a test says must not depend on luck. `make fuzz` looks further.
bounded = settings(
    max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """Of its own: the requests make sessions that nobody ends."""
    with run_server(timeout_seconds=2) as running:
        yield running


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_any_request_has_a_reply_that_the_document_describes(
    server: SandboxServer, operation: AnyOperation, mode: GenerationMode
) -> None:
    @bounded
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: AnyCase) -> None:
        case.call_and_validate(base_url=server.url, headers=HEADERS, checks=CHECKS)

    ask()


@pytest.mark.parametrize("operation", ON_A_SESSION, ids=lambda operation: operation.label)
def test_any_request_to_a_live_session_has_a_reply_that_the_document_describes(
    server: SandboxServer, operation: AnyOperation
) -> None:
    @bounded
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def ask(case: AnyCase) -> None:
        make_live_session(server)
        case.path_parameters = {**case.path_parameters, "id": LIVE}
        case.call_and_validate(base_url=server.url, headers=HEADERS, checks=CHECKS)

    ask()


def make_live_session(server: SandboxServer) -> None:
    """One with a variable and a suspended cell, whatever became of the last."""
    for method, path, body in (
        ("DELETE", f"/sessions/{LIVE}", None),
        ("POST", "/execute", {"code": "v = ask()", "session_id": LIVE, "host_functions": ["ask"]}),
    ):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(server.url + path, data, HEADERS, method=method)  # noqa: S310 - our own address
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - our own address
            pass
