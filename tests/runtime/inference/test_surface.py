"""The HTTP surface that needs no sandbox: keys, models, refusals in OpenAI's envelope, readiness."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.runtime.inference.service import (
    API_KEY,
    SERVED_MODEL,
    Service,
    build_lonely_settings,
    run_service,
    write_keys,
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    settings = build_lonely_settings(max_body_bytes=100_000, max_iterations=5)
    async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY)) as running:
        yield running


async def error_of(service: Service, method: str, path: str, **request: Any) -> tuple[int, dict[str, Any], Any]:
    async with service.http.request(method, service.url + path, **request) as response:
        body = await response.json()
        assert set(body) == {"error"}
        assert {"message", "type", "param", "code"} <= set(body["error"])
        assert response.headers["x-request-id"]
        return response.status, body["error"], response.headers


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Bearer ", "Basic dGVzdA==", API_KEY])
async def test_wrong_key_is_401_in_openais_envelope(service: Service, authorization: str) -> None:
    status, error, headers = await error_of(service, "GET", "/v1/models", headers={"Authorization": authorization})
    assert (status, error["code"]) == (401, "invalid_api_key")
    assert headers["WWW-Authenticate"] == "Bearer"


async def test_sdk_sees_its_own_authentication_error(service: Service) -> None:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_added_and_removed_keys_count_without_a_restart(service: Service, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", second="another-key")
    async with service.http.get(f"{service.url}/v1/models", headers={"Authorization": "Bearer another-key"}) as reply:
        assert reply.status == 200
    (tmp_path / "keys" / "second").unlink()
    status, _, _ = await error_of(service, "GET", "/v1/models", headers={"Authorization": "Bearer another-key"})
    assert status == 401


async def test_models_are_listed_and_found_by_id(service: Service) -> None:
    async with service.openai() as client:
        assert [model.id async for model in client.models.list()] == [SERVED_MODEL]
        assert (await client.models.retrieve(SERVED_MODEL)).id == SERVED_MODEL


async def test_base_url_without_the_version_works_too(service: Service) -> None:
    async with openai.AsyncOpenAI(base_url=service.url, api_key=API_KEY) as client:
        assert [model.id async for model in client.models.list()] == [SERVED_MODEL]
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="other", messages=[{"role": "user", "content": "Hi?"}])


async def test_unknown_model_is_404_model_not_found(service: Service) -> None:
    async with service.openai() as client:
        with pytest.raises(openai.NotFoundError) as by_id:
            await client.models.retrieve("org/other")
        with pytest.raises(openai.NotFoundError) as in_request:
            await client.chat.completions.create(model="other", messages=[{"role": "user", "content": "Hi?"}])
    assert by_id.value.code == in_request.value.code == "model_not_found"
    assert in_request.value.param == "model"


async def test_unknown_path_is_404_and_wrong_method_405_with_allow(service: Service) -> None:
    status, error, _ = await error_of(service, "GET", "/v1/nothing")
    assert (status, error["code"]) == (404, "not_found")
    status, error, headers = await error_of(service, "GET", "/v1/chat/completions")
    assert (status, error["code"], headers["Allow"]) == (405, "method_not_allowed", "POST")


async def test_body_above_the_limit_is_413_also_when_it_was_compressed(service: Service) -> None:
    body = json.dumps({"query": "q", "context": "x" * 200_000}).encode()
    for data, headers in [(body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})]:
        status, error, _ = await error_of(service, "POST", "/rlm/v1/runs", data=data, headers=headers)
        assert (status, error["code"]) == (413, "too_large")
        assert "RLM_MAX_BODY_BYTES" in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/rlm/v1/runs", b"{", None),
        ("/rlm/v1/runs", b"[]", None),
        ("/rlm/v1/runs", b'{"query": ""}', "query"),
        ("/rlm/v1/runs", b'{"query": "q", "contxt": "x"}', "contxt"),
        ("/rlm/v1/runs", b'{"query": "q", "options": {"max_iterations": 6}}', "options.max_iterations"),
        ("/rlm/v1/runs", b'{"query": "q", "documents": [{"path": "a"}]}', "documents.0.text"),
        ("/rlm/v1/runs", b'{"query": "q", "documents": []}', "documents"),
        ("/v1/chat/completions", b'{"model": "rlm-test", "messages": []}', "messages"),
        ("/v1/chat/completions", b'{"model": "rlm-test", "messages": [{"role": "user", "content": "q"}], "n": 2}', "n"),
    ],
)
async def test_malformed_request_is_400_and_names_the_field(
    service: Service, path: str, body: bytes, param: str | None
) -> None:
    status, error, _ = await error_of(service, "POST", path, data=body)
    assert (status, error["code"], error["param"]) == (400, "invalid_request", param)


async def test_context_and_documents_together_are_refused(service: Service) -> None:
    body = {"query": "q", "context": "x", "documents": [{"path": "a", "text": "b"}]}
    status, error, _ = await error_of(service, "POST", "/rlm/v1/runs", json=body)
    assert status == 400
    assert "not several" in error["message"]


async def test_unreachable_sandbox_is_503_and_never_an_answer(service: Service) -> None:
    status, error, headers = await error_of(service, "POST", "/rlm/v1/runs", json={"query": "q"})
    assert (status, error["code"]) == (503, "sandbox_unavailable")
    assert int(headers["Retry-After"]) > 0
    assert await service.metric("rlm_inference_requests_total", status="sandbox_unavailable") == 1


async def test_unreachable_sandbox_makes_the_service_unready_but_alive(service: Service) -> None:
    async with service.http.get(f"{service.url}/readyz") as response:
        assert response.status == 503
        assert "sandbox" in (await response.json())["reason"]
    async with service.http.get(f"{service.url}/healthz") as response:
        assert response.status == 200


async def test_given_request_id_comes_back(service: Service) -> None:
    _, _, headers = await error_of(service, "GET", "/v1/nothing", headers={"x-request-id": "abc-123"})
    assert headers["x-request-id"] == "abc-123"
