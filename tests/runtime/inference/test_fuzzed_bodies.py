"""Requests made from the schemas of the bodies, as these allow them and as they do not: each is answered, or refused in
the envelope, and none is a defect. There is neither sandbox nor model, so what would be a run is 503."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from pydantic import BaseModel
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation

from runtime.inference.chat_request import ChatRequest
from runtime.inference.responses_request import ResponseRequest
from runtime.inference.runs_request import RunRequest
from tests.runtime.inference.service import (
    API_KEY,
    SERVED_MODEL,
    Service,
    build_lonely_settings,
    run_service,
    write_keys,
)
from tests.runtime.inference.test_envelope import check_envelope

ENDPOINTS: Final[dict[str, type[BaseModel]]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/responses": ResponseRequest,
    "/rlm/v1/runs": RunRequest,
}
HEADERS: Final = {"Authorization": f"Bearer {API_KEY}"}

# The same requests in each run: what a test says must not depend on luck.
bounded = hypothesis_settings(
    max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def build_document() -> dict[str, Any]:
    """What OpenAPI says of the endpoints' bodies."""
    components: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for path, model in ENDPOINTS.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        if "model" in schema["properties"]:
            schema["properties"]["model"] = {"const": SERVED_MODEL}  # any other is 404 and no more is looked at
        components |= schema.pop("$defs", {}) | {model.__name__: schema}
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
        body = {"required": True, "content": content}
        paths[path] = {"post": {"requestBody": body, "responses": {"default": {"description": "any"}}}}
    info = {"title": "bodies", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": components}}


OPERATIONS: Final = [
    result.ok()
    for result in schemathesis.openapi.from_dict(build_document()).get_all_operations()
    if isinstance(result, Ok)
]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    settings = build_lonely_settings(recovery_seconds=0)
    async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as running:
        yield running


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)
async def test_any_request_is_answered_or_refused_in_the_envelope(
    service: Service, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode
) -> None:
    seen: set[int] = set()

    @bounded
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=service.url, headers=HEADERS)
        seen.add(response.status_code)
        assert response.headers["x-request-id"]
        if response.status_code in {200, 202}:  # a stream that says it, or a run in the background
            return
        error = check_envelope(response.content)
        assert response.status_code < 500 or error["code"] == "sandbox_unavailable", (error, case.body)

    await asyncio.to_thread(send)
    assert seen <= {200, 202, 400, 404, 405, 413, 415, 503}
    assert 400 in seen or mode is GenerationMode.POSITIVE
