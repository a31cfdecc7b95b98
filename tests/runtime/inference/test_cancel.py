"""A run that is ended, by a caller who hangs up, by request or by its deadline: its model calls, its cell and its
sessions end with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.cancellation import ENDS, STATUSES, WORKS, begin
from tests.runtime.inference.metrics_page import metrics, until_ended, until_metrics
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys


@contextlib.asynccontextmanager
async def streaming(service: Service, path: str = "/rlm/v1/runs") -> AsyncIterator[Any]:
    """A stream whose first line has arrived; leaving the block hangs up."""
    body: dict[str, Any] = {"query": "How many?", "stream": True}
    if path == "/v1/chat/completions":
        body = {"model": SERVED_MODEL, "messages": [{"role": "user", "content": "How many?"}], "stream": True}
    async with service.http.post(service.url + path, json=body) as response:
        await response.content.readline()
        yield response
        response.close()


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("end", ENDS)
async def test_run_that_is_ended_ends_its_model_calls_its_cell_and_its_sessions(
    service: Service, sandbox: SandboxProcess, model: ScriptedModel, end: str, work: str
) -> None:
    WORKS[work].script(model)
    stream, run_id = await begin(service, ENDS[end])
    if end != "its deadline":  # which may be over before, on a busy machine
        await WORKS[work].reached(service, sandbox, model)
    await ENDS[end](service, stream, run_id)
    await model.until(lambda scripted: scripted.hanging == 0)
    await until_ended(service, sandbox)
    assert model.abandoned == WORKS[work].hanging or end == "its deadline"
    assert await service.metric("rlm_inference_requests_total", status=STATUSES[end]) == 1
    stream.drop()


async def test_dropped_chat_stream_ends_the_root_call_and_the_session(
    service: Service, sandbox: SandboxProcess, model: ScriptedModel
) -> None:
    model.enqueue(Hang())
    async with streaming(service, "/v1/chat/completions"):
        await model.until(lambda scripted: scripted.hanging == 1)
    await model.until(lambda scripted: scripted.abandoned == 1)
    await until_ended(service, sandbox)


async def test_calls_in_flight_are_capped_over_all_runs(
    service: Service, sandbox: SandboxProcess, model: ScriptedModel
) -> None:
    model.sub_rule = lambda _: Hang()
    model.enqueue(*["```repl\nllm_query_batched([f'p{i}' for i in range(20)])\n```"] * 3)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(streaming(service))
        await model.until(lambda scripted: scripted.hanging == 4)
        await stack.enter_async_context(streaming(service))
        await until_metrics(service, sandbox.url, suspended=2, idle=1)  # the third run has no call to begin with
        assert len(model.root_calls) == 2
    await until_ended(service, sandbox)
    assert len(model.sub_calls) == 4


async def test_dropped_plain_request_begins_no_new_call_until_it_is_repeated(
    service: Service, sandbox: SandboxProcess, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.sub_rule = lambda prompt: Gate(gate, f"<{prompt}>")
    model.enqueue("```repl\nFINAL(llm_query('first') + llm_query('second'))\n```")
    body = {"query": "How many?"}
    calls_before = (await metrics(service, sandbox.url))["wasm_host_calls_total"]

    dropped = asyncio.create_task(service.http.post(f"{service.url}/rlm/v1/runs", json=body))
    await model.until(lambda scripted: len(scripted.sub_calls) == 1)
    dropped.cancel()
    await asyncio.wait([dropped])
    gate.set()
    await until_metrics(service, sandbox.url, wasm_host_calls_total=calls_before + 2)
    assert len(model.sub_calls) == 1

    headers = {"x-stainless-retry-count": "1"}
    async with service.http.post(f"{service.url}/rlm/v1/runs", json=body, headers=headers) as response:
        assert json.loads(await response.text())["answer"] == "<first><second>"
    assert len(model.root_calls) == 1


async def test_dropped_plain_request_that_nobody_repeats_ends_after_the_linger(
    settings: InferenceSettings, sandbox: SandboxProcess, model: ScriptedModel, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys", tester=API_KEY)
    async with run_service(settings, keys, Pace(linger=0.2)) as service:
        model.enqueue(Hang())
        dropped = asyncio.create_task(service.http.post(f"{service.url}/rlm/v1/runs", json={"query": "How many?"}))
        await model.until(lambda scripted: scripted.hanging == 1)
        dropped.cancel()
        await asyncio.wait([dropped])
        await model.until(lambda scripted: scripted.abandoned == 1)
        await until_ended(service, sandbox)
