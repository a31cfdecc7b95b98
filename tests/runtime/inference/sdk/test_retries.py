"""What each SDK does by itself when something fails on the way, and that a question is paid once all the same."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.metrics_page import until_metrics
from tests.runtime.inference.scripted_model import Gate, Hang, ScriptedModel
from tests.runtime.inference.sdk.clients import Sdk, SdkError, Target
from tests.runtime.inference.sdk.gateway import Cut, CutReply, Gateway, Refuse
from tests.runtime.inference.sdk.test_chat import ASK, CANCELLED
from tests.runtime.inference.service import API_KEY, Service, run_service, write_keys

BRIEF = 1.0  # seconds that a client waits in the tests of its timeout


@pytest.mark.parametrize("fault", [Refuse(429, {"Retry-After": "1"}), Refuse(503), Refuse(500)], ids=lambda f: f.status)
async def test_refusal_on_the_way_is_retried(
    sdk: Sdk, through: Target, gateway: Gateway, model: ScriptedModel, fault: Refuse
) -> None:
    model.enqueue("FINAL(42)")
    gateway.faults.append(fault)
    done = await sdk.chat(through, **ASK)
    assert done["choices"][0]["message"]["content"] == "42"
    assert gateway.retries == ["0", "1"]


async def test_refusal_that_says_so_is_not_retried(sdk: Sdk, through: Target, gateway: Gateway) -> None:
    gateway.faults.append(Refuse(503, {"x-should-retry": "false"}))
    with pytest.raises(SdkError) as refused:
        await sdk.chat(through, **ASK)
    assert (refused.value.kind, gateway.retries) == ("InternalServerError", ["0"])


async def test_connection_that_is_cut_in_the_middle_of_a_run_is_retried_and_the_run_paid_once(
    sdk: Sdk, through: Target, gateway: Gateway, model: ScriptedModel
) -> None:
    opened = asyncio.Event()
    model.enqueue(Gate(opened, "FINAL(42)"))
    gateway.faults.append(Cut(lambda: model.until(lambda scripted: len(scripted.root_calls) == 1)))
    asked = asyncio.create_task(sdk.chat(through, **ASK))
    await gateway.until_requests(2)
    opened.set()
    assert (await asked)["choices"][0]["message"]["content"] == "42"
    assert gateway.retries == ["0", "1"]
    assert len(model.root_calls) == 1


async def test_reply_that_is_lost_on_the_way_is_had_by_the_retry_without_a_second_run(
    sdk: Sdk, through: Target, gateway: Gateway, service: Service, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")

    async def until_over() -> None:
        await until_metrics(service, service.url, **{'rlm_inference_requests_total{status="ok"}': 1})

    gateway.faults.append(Cut(until_over))
    done = await sdk.chat(through, **ASK)
    assert done["choices"][0]["message"]["content"] == "42"
    assert len(model.root_calls) == 1


async def test_client_that_runs_out_of_time_joins_its_run_with_its_retry(
    sdk: Sdk, through: Target, gateway: Gateway, model: ScriptedModel
) -> None:
    opened = asyncio.Event()
    model.enqueue(Gate(opened, "FINAL(42)"))
    asked = asyncio.create_task(sdk.chat(dataclasses.replace(through, timeout=BRIEF), **ASK))
    await gateway.until_requests(2)
    opened.set()
    assert (await asked)["choices"][0]["message"]["content"] == "42"
    assert gateway.retries[:2] == ["0", "1"]
    assert len(model.root_calls) == 1


async def test_client_without_retries_left_gets_its_timeout(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    opened = asyncio.Event()
    model.enqueue(Gate(opened, "FINAL(42)"))
    with pytest.raises(SdkError) as late:
        await sdk.chat(dataclasses.replace(target, timeout=BRIEF, retries=0), **ASK)
    assert late.value.kind == sdk.timeout_kind
    opened.set()


async def test_stream_that_is_cut_is_an_error_and_not_a_short_answer(
    sdk: Sdk, through: Target, gateway: Gateway, service: Service, model: ScriptedModel
) -> None:
    """SDKs do not retry what has begun; the run ends, since nobody reads it."""
    model.enqueue(Hang())
    gateway.faults.append(CutReply())
    with pytest.raises(Exception):  # noqa: B017, PT011  # of the HTTP library or the SDK: they differ
        await sdk.chat_stream(through, **ASK)
    assert gateway.retries == ["0"]
    await until_metrics(service, service.url, **CANCELLED)


async def test_limit_of_the_key_is_waited_for_as_the_service_says(
    sdk: Sdk, settings: InferenceSettings, model: ScriptedModel, tmp_path: Path
) -> None:
    """The service's own 429: the client asks until one of its requests had to wait, and all have an answer."""
    limited = settings.model_copy(update={"key_requests_per_minute": 30})
    model.enqueue(*["FINAL(42)"] * 200)
    async with run_service(limited, write_keys(tmp_path / "keys", tester=API_KEY)) as service:
        target = Target(f"{service.url}/v1", API_KEY, retries=8)
        while await service.metric("rlm_refused_requests_total", code="rate_limit_exceeded") == 0:
            done = await sdk.chat(target, **ASK)
            assert done["choices"][0]["message"]["content"] == "42"
