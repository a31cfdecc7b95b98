"""Which class each SDK raises for what the service says, and what the exception carries."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.scripted_model import Failure, ScriptedModel
from tests.runtime.inference.sdk.clients import Sdk, SdkError, Target
from tests.runtime.inference.sdk.test_chat import ASK, QUESTION
from tests.runtime.inference.service import API_KEY, NOBODY, SERVED_MODEL, run_service, write_keys


async def refusal(sdk: Sdk, target: Target, **params: Any) -> SdkError:
    with pytest.raises(SdkError) as refused:
        await sdk.chat(target, **params)
    return refused.value


async def test_wrong_key_is_an_authentication_error(sdk: Sdk, target: Target) -> None:
    refused = await refusal(sdk, dataclasses.replace(target, key="wrong"), **ASK)
    assert (refused.kind, refused.status, refused.code) == ("AuthenticationError", 401, "invalid_api_key")
    assert refused.request_id


async def test_unknown_model_and_path_are_not_found_errors(sdk: Sdk, target: Target) -> None:
    refused = await refusal(sdk, target, model="other", messages=QUESTION)
    assert (refused.kind, refused.code, refused.param) == ("NotFoundError", "model_not_found", "model")
    elsewhere = await refusal(sdk, dataclasses.replace(target, url=f"{target.url}/elsewhere"), **ASK)
    assert (elsewhere.kind, elsewhere.code) == ("NotFoundError", "not_found")


async def test_field_that_is_not_supported_is_a_bad_request_that_names_it(sdk: Sdk, target: Target) -> None:
    refused = await refusal(sdk, target, **ASK, n=2)
    assert (refused.kind, refused.status, refused.param) == ("BadRequestError", 400, "n")
    assert refused.type == "invalid_request_error"


async def test_budget_error_is_unprocessable_and_never_retried(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue("```repl\nllm_query_batched([str(i) for i in range(99)])\n```")
    refused = await refusal(sdk, target, **ASK)
    assert (refused.kind, refused.status, refused.code) == ("UnprocessableEntityError", 422, "max_subcalls")
    assert len(model.root_calls) == 1


async def test_failure_of_the_model_is_an_internal_server_error(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue(Failure(401))
    refused = await refusal(sdk, target, **ASK)
    assert (refused.kind, refused.status, refused.code) == ("InternalServerError", 502, "model_error")
    assert "sk-secret" not in refused.message


async def test_failure_in_a_stream_is_an_api_error_with_its_code(
    sdk: Sdk, target: Target, model: ScriptedModel
) -> None:
    model.enqueue(Failure(401))
    with pytest.raises(SdkError) as failed:
        await sdk.chat_stream(target, **ASK)
    assert (failed.value.kind, failed.value.code) == ("APIError", "model_error")


async def test_sandbox_that_is_away_is_an_internal_server_error(
    sdk: Sdk, settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    away = settings.model_copy(update={"wasm_service_url": NOBODY})
    async with run_service(away, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        refused = await refusal(sdk, Target(f"{service.url}/v1", API_KEY, retries=0), **ASK)
    assert (refused.kind, refused.status, refused.code) == ("InternalServerError", 503, "sandbox_unavailable")
    assert not model.requests


async def test_service_that_is_not_there_is_a_connection_error(sdk: Sdk) -> None:
    refused = await refusal(sdk, Target(f"{NOBODY}/v1", API_KEY, retries=0), model=SERVED_MODEL, messages=QUESTION)
    assert (refused.kind, refused.status) == ("APIConnectionError", None)


async def test_limit_of_the_key_is_a_rate_limit_error(
    sdk: Sdk, settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    limited = settings.model_copy(update={"key_requests_per_minute": 1})
    model.enqueue("FINAL(42)")
    async with run_service(limited, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        once = Target(f"{service.url}/v1", API_KEY, retries=0)
        await sdk.chat(once, **ASK)
        refused = await refusal(sdk, once, **ASK)
    assert (refused.kind, refused.status, refused.code) == ("RateLimitError", 429, "rate_limit_exceeded")
