"""/v1/responses through the openai SDK: asked, polled, continued, cancelled, deleted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.scripted_model import Failure, Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys

DEADLINE = 60.0
LONG = "long " * 2_000
SHOW = "```repl\nFINAL(repr((context, history)))\n```"


@pytest.fixture
async def service(settings: InferenceSettings, tmp_path: Path) -> AsyncIterator[Service]:
    keys = write_keys(tmp_path / "keys", tester=API_KEY, other="other-key", boss="admin-key")
    changed = settings.model_copy(update={"admin_keys": "boss", "storage_url": f"file://{tmp_path}/kept"})
    async with run_service(changed, keys, Pace(heartbeat=0.1)) as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with service.openai(max_retries=0) as opened:
        yield opened


async def ask(client: openai.AsyncOpenAI, asked: Any = "How many?", **fields: Any) -> Response:
    response = await client.responses.create(model=SERVED_MODEL, input=asked, **fields)
    assert isinstance(response, Response)
    return response


async def poll(client: openai.AsyncOpenAI, response_id: str) -> Response:
    """Until it has ended."""
    async with asyncio.timeout(DEADLINE):
        while True:
            response = await client.responses.retrieve(response_id)
            if response.status != "in_progress":
                return response
            await asyncio.sleep(0.02)


async def until_stored(service: Service, response_id: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            entries = await service.storage.entries(f"run-index/tester/{response_id[5:]}")
            if [entry.path.rsplit("/", 1)[-1] for entry in entries] == ["completed"]:
                return
            await asyncio.sleep(0.02)


async def refuse(client: openai.AsyncOpenAI, asked: Any = "q", **fields: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(client, asked, **fields)
    return refused.value


async def test_response_has_the_answer_the_usage_and_what_was_asked(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nFINAL(llm_query('a'))\n```")
    response = await ask(client, instructions="Be short.", metadata={"of": "me"}, temperature=0.1, reasoning={})
    assert (response.status, response.output_text) == ("completed", "re: a")
    assert (response.instructions, response.metadata, response.model) == ("Be short.", {"of": "me"}, SERVED_MODEL)
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (20, 6, 26)
    assert (response.error, response.incomplete_details, response.background, response.tools) == (None, None, False, [])
    assert "Be short." in model.root_calls[0].messages[0]["content"]
    assert response.id == "resp_" + response.rlm["run_id"]  # type: ignore[attr-defined]  # a field of ours
    assert await client.responses.retrieve(response.id) == response


async def test_background_response_is_polled_to_its_end_without_anybody_attending(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    gate = asyncio.Event()
    model.enqueue(Gate(gate, "FINAL(42)"))
    begun = await ask(client, background=True)
    assert (begun.status, begun.output, begun.usage, begun.background) == ("in_progress", [], None, True)
    assert (await client.responses.retrieve(begun.id)).status == "in_progress"
    gate.set()
    done = await poll(client, begun.id)
    assert (done.status, done.output_text, done.id) == ("completed", "42", begun.id)


async def test_synchronous_sdk_asks_polls_and_cancels(service: Service, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)", Hang())

    def use() -> tuple[str, str | None]:
        with openai.OpenAI(base_url=f"{service.url}/v1", api_key=API_KEY) as sync:
            answer = sync.responses.create(model=SERVED_MODEL, input="q").output_text
            begun = sync.responses.create(model=SERVED_MODEL, input="q", background=True)
            return answer, sync.responses.cancel(begun.id).status

    assert await asyncio.to_thread(use) == ("42", "cancelled")


async def test_base_url_without_the_version_works_too(service: Service, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)")
    async with openai.AsyncOpenAI(base_url=service.url, api_key=API_KEY) as client:
        assert (await ask(client)).output_text == "42"


async def test_response_outlives_the_process(
    settings: InferenceSettings, service: Service, client: openai.AsyncOpenAI, model: ScriptedModel, tmp_path: Path
) -> None:
    model.enqueue("FINAL(42)", SHOW)
    first = await ask(client, "Remember 7.")
    async with contextlib.AsyncExitStack() as stack:
        await until_stored(service, first.id)
        stored = settings.model_copy(update={"storage_url": f"file://{tmp_path}/kept"})
        again = await stack.enter_async_context(run_service(stored, tmp_path / "keys"))
        later = await stack.enter_async_context(again.openai())
        assert await later.responses.retrieve(first.id) == first
        assert "Remember 7." in (await ask(later, previous_response_id=first.id)).output_text


async def test_continued_response_has_the_earlier_turns_as_history_and_their_long_parts_as_context(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(one)", "FINAL(two)", SHOW)
    first = await ask(client, [{"role": "user", "content": [{"type": "input_text", "text": LONG}]}])
    second = await ask(client, "And then?", previous_response_id=first.id, instructions="only here")
    third = await ask(client, "And now?", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    context, history = eval(third.output_text)  # noqa: S307  # a repr of two plain values
    assert context == LONG
    assert [(turn["role"], turn["content"]) for turn in history] == [
        ("user", "[10,000 characters, see context]"),
        ("assistant", "one"),
        ("user", "And then?"),
        ("assistant", "two"),
    ]
    assert "only here" not in model.root_calls[-1].messages[0]["content"]


async def test_output_that_is_sent_back_is_a_turn_of_the_assistant(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(one)", SHOW)
    first = await ask(client)
    output = [item.model_dump() for item in first.output]
    second = await ask(client, [{"role": "user", "content": "q"}, *output, {"role": "user", "content": "and now?"}])
    assert eval(second.output_text)[1][1] == {"role": "assistant", "content": "one"}  # noqa: S307  # as above


async def test_uploaded_file_is_the_context_also_of_what_continues(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue(*["```repl\nFINAL(context)\n```"] * 2)
    stored = await client.files.create(file=("a.txt", b"in the file"), purpose="user_data")
    parts = [{"type": "input_file", "file_id": stored.id}, {"type": "input_text", "text": "What is in it?"}]
    first = await ask(client, [{"role": "user", "content": parts}])
    second = await ask(client, "Again?", previous_response_id=first.id)
    assert (first.output_text, second.output_text) == ("in the file", "in the file")


async def test_structured_answer_is_checked_and_parsed(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    model.enqueue("FINAL(no)", 'FINAL({"count": 3})')
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    response = await ask(client, text={"format": {"type": "json_schema", "name": "n", "schema": schema}})
    assert response.output_text == '{"count": 3}'
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.to_dict()["schema"] == schema


async def test_answer_beyond_max_output_tokens_or_out_of_iterations_is_incomplete(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nFINAL('x' * 1000)\n```", "```repl\npass\n```", "FINAL(about 12)")
    cut = await ask(client, max_output_tokens=10)
    best = await ask(client, extra_body={"rlm": {"max_iterations": 1}})
    for response, text, reason in [(cut, "x" * 40, "max_output_tokens"), (best, "about 12", "max_iterations")]:
        assert (response.status, response.output_text) == ("incomplete", text)
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == reason


async def test_failed_background_response_says_why_and_what_it_had(
    client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nanswer['content'] = 'half'\nllm_query_batched(['p'] * 9)\n```", Failure(401))
    begun = await ask(client, background=True, extra_body={"rlm": {"max_subcalls": 8}})
    failed = await poll(client, begun.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error.code, failed.rlm["partial_answer"]) == ("max_subcalls", "half")  # type: ignore[attr-defined]
    refused = await refuse(client)
    assert (refused.status_code, refused.code) == (502, "model_error")
    continued = await refuse(client, previous_response_id=begun.id)
    assert (continued.status_code, continued.param) == (400, "previous_response_id")


async def test_cancel_ends_the_model_call_and_may_be_repeated(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    begun = await ask(client, background=True)
    await model.until(lambda scripted: scripted.hanging == 1)
    for _ in range(2):
        assert (await client.responses.cancel(begun.id)).status == "cancelled"
    await model.until(lambda scripted: scripted.abandoned == 1)


async def test_deleted_response_is_gone_with_everything_that_was_stored(
    service: Service, client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)", Hang())
    for background in (False, True):
        response = await ask(client, background=background)
        await client.responses.delete(response.id)
        for use in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
            with pytest.raises(openai.NotFoundError):
                await use(response.id)
        assert [entry.path for entry in await service.storage.entries("") if response.id[5:] in entry.path] == []
    assert model.hanging == 0


async def test_response_that_is_not_to_be_stored_is_not_there_later(
    service: Service, client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")
    response = await ask(client, store=False)
    assert response.output_text == "42"
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)
    assert (await refuse(client, previous_response_id=response.id)).status_code == 404
    assert [entry.path for entry in await service.storage.entries("") if "run" in entry.path] == []


async def test_responses_belong_to_the_key_that_made_them_and_an_admin_sees_all(
    service: Service, client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")
    response = await ask(client)
    async with service.openai(api_key="other-key") as other, service.openai(api_key="admin-key") as admin:
        for use in (other.responses.retrieve, other.responses.cancel, other.responses.delete):
            with pytest.raises(openai.NotFoundError):
                await use(response.id)
        assert (await refuse(other, previous_response_id=response.id)).status_code == 404
        with pytest.raises(openai.NotFoundError):
            await other.responses.input_items.list(response.id)
        assert (await admin.responses.retrieve(response.id)).output_text == "42"


async def test_input_items_are_listed_in_pages(client: openai.AsyncOpenAI, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)")
    asked = [{"role": role, "content": f"text {n}"} for n, role in enumerate(["user", "assistant", "user"])]
    response = await ask(client, asked)

    async def texts(**query: Any) -> list[str]:
        items = client.responses.input_items.list(response.id, **query)
        return [item.to_dict()["content"][0]["text"] async for item in items]  # type: ignore[index]

    assert await texts() == ["text 2", "text 1", "text 0"]
    assert await texts(order="asc", limit=2) == ["text 0", "text 1", "text 2"]
    page = await client.responses.input_items.list(response.id, order="asc", limit=1)
    assert (page.data[0].to_dict()["type"], page.has_more) == ("message", True)
    with pytest.raises(openai.NotFoundError) as refused:
        await client.responses.input_items.list(response.id, after="msg_none")
    assert refused.value.param == "after"


@pytest.mark.parametrize(
    ("response_id", "code"),
    [("resp_x", "run_not_found"), ("x", "run_not_found"), ("resp_" + "0" * 32, "owner_lost")],
)
async def test_unknown_response_is_404_that_says_whether_it_is_elsewhere(
    client: openai.AsyncOpenAI, response_id: str, code: str
) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.retrieve(response_id)
    assert missing.value.code == code
    refused = await refuse(client, previous_response_id=response_id)
    assert (refused.status_code, refused.code, refused.param) == (404, code, "previous_response_id")


async def test_run_that_no_response_was_asked_for_is_no_response(
    service: Service, client: openai.AsyncOpenAI, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")
    async with service.http.post(f"{service.url}/rlm/v1/runs", json={"query": "q"}) as native:
        run_id = (await native.json())["run_id"]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(f"resp_{run_id}")


async def test_repeat_by_the_sdk_joins_the_run(service: Service, model: ScriptedModel) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)")
    ids = set()
    for retry in ("0", "1"):
        body = {"model": SERVED_MODEL, "input": "q", "background": True}
        headers = {"x-stainless-retry-count": retry}
        async with service.http.post(f"{service.url}/v1/responses", json=body, headers=headers) as reply:
            ids.add((await reply.json())["id"])
    assert len(ids) == 1
