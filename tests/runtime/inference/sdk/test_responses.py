"""Responses with each SDK: at once, streamed, in the background, polled, cancelled, followed again, continued."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.runtime.inference.metrics_page import until_metrics
from tests.runtime.inference.scripted_model import COMPLETION_TOKENS, PROMPT_TOKENS, Failure, Gate, Hang, ScriptedModel
from tests.runtime.inference.sdk.clients import JsonObject, Sdk, SdkError, Target
from tests.runtime.inference.sdk.gateway import Cut, Gateway
from tests.runtime.inference.service import SERVED_MODEL, Service

ASK: dict[str, Any] = {"model": SERVED_MODEL, "input": "How many?"}
DEADLINE = 60.0


def text_of(response: JsonObject) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


async def poll(sdk: Sdk, target: Target, response_id: str) -> JsonObject:
    """Until it has ended."""
    async with asyncio.timeout(DEADLINE):
        while True:
            response = dict(await sdk.run(target, "getResponse", {"id": response_id}))
            if response["status"] != "in_progress":
                return response


async def test_response_has_answer_and_usage_and_is_found_by_its_id(
    sdk: Sdk, target: Target, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")
    response = await sdk.run(target, "response", {"params": ASK})
    assert (response["object"], response["status"], text_of(response)) == ("response", "completed", "42")
    assert response["usage"]["total_tokens"] == PROMPT_TOKENS + COMPLETION_TOKENS
    assert await sdk.run(target, "getResponse", {"id": response["id"]}) == response
    assert len(await sdk.run(target, "inputItems", {"id": response["id"]})) == 1


async def test_background_response_is_polled_to_its_end(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    opened = asyncio.Event()
    model.enqueue(Gate(opened, "FINAL(42)"))
    begun = await sdk.run(target, "response", {"params": {**ASK, "background": True}})
    assert (begun["status"], begun["output"]) == ("in_progress", [])
    await model.until(lambda scripted: len(scripted.root_calls) == 1)
    opened.set()
    done = await poll(sdk, target, begun["id"])
    assert (done["status"], text_of(done)) == ("completed", "42")


async def test_background_response_that_fails_says_why(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue(Failure(401))
    begun = await sdk.run(target, "response", {"params": {**ASK, "background": True}})
    failed = await poll(sdk, target, begun["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "model_error")


async def test_cancelled_response_ends_its_model_call(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    begun = await sdk.run(target, "response", {"params": {**ASK, "background": True}})
    await model.until(lambda scripted: scripted.hanging == 1)
    assert (await sdk.run(target, "cancelResponse", {"id": begun["id"]}))["status"] == "cancelled"
    await model.until(lambda scripted: scripted.abandoned == 1)
    assert (await poll(sdk, target, begun["id"]))["status"] == "cancelled"


async def test_stream_has_the_answer_in_typed_events_with_numbers(
    sdk: Sdk, target: Target, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nFINAL('word ' * 1000)\n```")
    events = await sdk.run(target, "responseStream", {"params": ASK, "leaveAfter": None})
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "word " * 1000
    assert text_of(events[-1]["response"]) == "word " * 1000


async def test_background_stream_that_was_left_goes_on_after_the_last_event_that_was_read(
    sdk: Sdk, target: Target, model: ScriptedModel
) -> None:
    opened = asyncio.Event()
    model.enqueue(Gate(opened, "FINAL(42)"))
    params = {**ASK, "background": True}
    [first] = await sdk.run(target, "responseStream", {"params": params, "leaveAfter": 1})
    response_id = first["response"]["id"]
    following = asyncio.create_task(
        sdk.run(target, "followResponse", {"id": response_id, "after": first["sequence_number"]})
    )
    await model.until(lambda scripted: len(scripted.root_calls) == 1)
    opened.set()
    rest = await following
    assert [event["sequence_number"] for event in rest] == list(range(1, len(rest) + 1))
    assert text_of(rest[-1]["response"]) == "42"
    again = await sdk.run(target, "followResponse", {"id": response_id, "after": 3})  # the run is over by now
    assert again == rest[3:]
    assert len(model.root_calls) == 1


async def test_stream_in_the_foreground_that_is_left_ends_its_run(
    sdk: Sdk, target: Target, service: Service, model: ScriptedModel
) -> None:
    model.enqueue(Hang())
    assert len(await sdk.run(target, "responseStream", {"params": ASK, "leaveAfter": 1})) == 1
    await until_metrics(service, service.url, **{'rlm_inference_requests_total{status="cancelled"}': 1})


async def test_continued_response_knows_the_turns_before(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue("FINAL(one)", "```repl\nFINAL([turn['content'] for turn in history])\n```")
    first = await sdk.run(target, "response", {"params": ASK})
    params = {"model": SERVED_MODEL, "input": "And now?", "previous_response_id": first["id"]}
    assert text_of(await sdk.run(target, "response", {"params": params})) == str(["How many?", "one"])


async def test_deleted_response_is_not_found(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)")
    response = await sdk.run(target, "response", {"params": ASK})
    await sdk.run(target, "deleteResponse", {"id": response["id"]})
    for command in ("getResponse", "cancelResponse", "deleteResponse"):
        with pytest.raises(SdkError) as gone:
            await sdk.run(target, command, {"id": response["id"]})
        assert (gone.value.kind, gone.value.status) == ("NotFoundError", 404)


async def test_connection_that_is_cut_is_retried_and_the_response_paid_once(
    sdk: Sdk, through: Target, gateway: Gateway, model: ScriptedModel
) -> None:
    opened = asyncio.Event()
    model.enqueue(Gate(opened, "FINAL(42)"))
    gateway.faults.append(Cut(lambda: model.until(lambda scripted: len(scripted.root_calls) == 1)))
    asked = asyncio.create_task(sdk.run(through, "response", {"params": ASK}))
    await gateway.until_requests(2)
    opened.set()
    assert text_of(await asked) == "42"
    assert len(model.root_calls) == 1


async def test_background_response_whose_reply_was_lost_is_had_by_the_retry(
    sdk: Sdk, through: Target, gateway: Gateway, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")
    gateway.faults.append(Cut(lambda: model.until(lambda scripted: len(scripted.root_calls) == 1)))
    begun = await sdk.run(through, "response", {"params": {**ASK, "background": True}})
    assert text_of(await poll(sdk, through, begun["id"])) == "42"
    assert len(model.root_calls) == 1
