"""Streams of /v1/responses: typed events, resumed by their numbers, given up or left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.scripted_model import Failure, Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys

DEADLINE = 60.0
BEGIN = ["response.created", "response.in_progress"]
ITEM = ["response.output_item.added", "response.content_part.added"]
ITEM_END = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
WHOLE = [*BEGIN, *ITEM, "response.output_text.delta", *ITEM_END, "response.completed"]


@pytest.fixture
async def service(settings: InferenceSettings, tmp_path: Path) -> AsyncIterator[Service]:
    async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY), Pace(heartbeat=0.1)) as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with service.openai(max_retries=0) as opened:
        yield opened


async def begin(client: openai.AsyncOpenAI, **fields: Any) -> openai.AsyncStream[ResponseStreamEvent]:
    stream = await client.responses.create(model=SERVED_MODEL, input="How many?", stream=True, **fields)
    assert isinstance(stream, openai.AsyncStream)
    return stream


async def collect(stream: openai.AsyncStream[ResponseStreamEvent]) -> list[ResponseStreamEvent]:
    async with asyncio.timeout(DEADLINE):
        events = [event async for event in stream]
    first = events[0].sequence_number if events else 0
    assert [event.sequence_number for event in events] == list(range(first, first + len(events)))
    return events


def types(events: list[ResponseStreamEvent]) -> list[str]:
    return [event.type for event in events]


def response_of(event: ResponseStreamEvent) -> Response:
    response = getattr(event, "response", None)
    assert isinstance(response, Response)
    return response


async def test_stream_has_the_typed_events_of_the_sdk_in_order(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nFINAL('ab' * 1200)\n```")
    events = await collect(await begin(client, metadata={"a": "b"}))
    deltas = ["response.output_text.delta"] * 3
    assert types(events) == [*BEGIN, *ITEM, *deltas, *ITEM_END, "response.completed"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "ab" * 1200
    first, last = response_of(events[0]), response_of(events[-1])
    assert (first.status, first.output, last.status, last.output_text) == ("in_progress", [], "completed", "ab" * 1200)
    assert (first.id, first.metadata) == (last.id, {"a": "b"})
    assert await client.responses.retrieve(last.id) == last


async def test_helper_of_the_sdk_gathers_the_final_response(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)")
    async with client.responses.stream(model=SERVED_MODEL, input="q") as stream:
        final = await stream.get_final_response()
    assert final.output_text == "42"


async def test_synchronous_sdk_reads_the_stream(service: Service, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)")

    def use() -> list[str]:
        with openai.OpenAI(base_url=f"{service.url}/v1", api_key=API_KEY) as sync:
            return [event.type for event in sync.responses.create(model=SERVED_MODEL, input="q", stream=True)]

    assert await asyncio.to_thread(use) == WHOLE


async def test_incomplete_and_failed_runs_end_the_stream_with_their_own_events(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nFINAL('x' * 1000)\n```", Failure(401))
    cut = await collect(await begin(client, max_output_tokens=10))
    assert (cut[-1].type, response_of(cut[-1]).output_text) == ("response.incomplete", "x" * 40)
    failed = await collect(await begin(client))
    assert types(failed) == [*BEGIN, "response.failed"]
    error = response_of(failed[-1]).error
    assert error is not None
    assert str(error.code) == "model_error"
    assert "sk-secret" not in str(failed)


async def test_dropped_stream_ends_the_run(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    stream = await begin(client)
    created = response_of(await anext(stream))
    await model.until(lambda scripted: scripted.hanging == 1)
    await stream.close()
    await model.until(lambda scripted: scripted.abandoned == 1)
    async with asyncio.timeout(DEADLINE):
        while (await client.responses.retrieve(created.id)).status != "cancelled":  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the SDK can only ask


async def test_dropped_background_stream_is_resumed_after_any_event(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    stream = await begin(client, background=True)
    created = response_of(await anext(stream))
    await model.until(lambda scripted: len(scripted.root_calls) == 1)
    await stream.close()
    resumed = asyncio.create_task(
        collect(await client.responses.retrieve(created.id, stream=True, starting_after=0))  # live
    )
    await asyncio.sleep(0)
    gate.set()
    whole = await collect(await client.responses.retrieve(created.id, stream=True))
    assert types(whole) == WHOLE
    assert response_of(whole[0]) == created
    assert await resumed == whole[1:]
    for number in range(len(whole)):
        again = await client.responses.retrieve(created.id, stream=True, starting_after=number)
        assert await collect(again) == whole[number + 1 :]


async def test_stream_of_a_cancelled_background_response_ends(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    stream = await begin(client, background=True)
    created = response_of(await anext(stream))
    await client.responses.cancel(created.id)
    events = await collect(stream)
    assert (events[-1].type, response_of(events[-1]).status) == ("response.failed", "cancelled")


async def test_silent_stream_is_kept_alive_by_pings(service: Service, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    body = {"model": SERVED_MODEL, "input": "q", "stream": True}
    async with service.http.post(f"{service.url}/v1/responses", json=body) as response:
        lines: list[bytes] = []
        while not lines or lines[-1] != b": ping\n":
            lines.append(await response.content.readline())
    assert not [line for line in lines if line.startswith(b"id:")]


async def test_background_stream_whose_response_is_deleted_meanwhile_ends(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue(Hang())
    created = await client.responses.create(model=SERVED_MODEL, input="q", background=True)
    following = asyncio.create_task(collect(await client.responses.retrieve(created.id, stream=True)))
    await client.responses.delete(created.id)
    assert types(await following)[:2] == BEGIN
