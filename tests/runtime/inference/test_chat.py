"""POST /v1/chat/completions through the openai SDK: plain and streamed, slow, repeated, in error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from runtime.inference.replies import Pace
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.scripted_model import COMPLETION_TOKENS, PROMPT_TOKENS, Failure, Gate, Hang, ScriptedModel
from tests.runtime.inference.service import API_KEY, SERVED_MODEL, Service, run_service, write_keys

QUESTION: Any = [{"role": "user", "content": "How many?"}]
CODE = "```repl\nparts = llm_query_batched(['a', 'b'])\nFINAL(' '.join(parts))\n```"


@pytest.fixture
async def impatient(settings: InferenceSettings, tmp_path: Path) -> AsyncIterator[Service]:
    """A service whose heartbeats and keep-alives begin at once."""
    pace = Pace(heartbeat=0.05, quiet=0.1, linger=30.0)
    async with run_service(settings, write_keys(tmp_path / "keys", tester=API_KEY), pace) as running:
        yield running


async def test_plain_completion_has_answer_and_summed_usage(service: Service, model: ScriptedModel) -> None:
    model.enqueue(CODE)
    async with service.openai() as client:
        done = await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
    assert done.object == "chat.completion"
    assert done.model == SERVED_MODEL
    assert done.choices[0].message.content == "re: a re: b"
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.prompt_tokens == 3 * PROMPT_TOKENS
    assert done.usage.completion_tokens == 3 * COMPLETION_TOKENS
    assert done.usage.total_tokens == 3 * (PROMPT_TOKENS + COMPLETION_TOKENS)
    assert done.model_extra is not None
    assert done.model_extra["rlm"]["sub_calls"] == 2


async def test_long_part_becomes_the_context_and_earlier_turns_the_history(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nFINAL((len(context), [turn['role'] for turn in history]))\n```")
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "x" * 9000}, {"type": "text", "text": "How long?"}]},
    ]
    async with service.openai() as client:
        done = await client.chat.completions.create(model=SERVED_MODEL, messages=messages)
    assert done.choices[0].message.content == "(9000, ['user', 'assistant'])"
    assert model.root_calls[0].messages[0]["content"].endswith("Be brief.")


async def test_stream_gives_content_deltas_and_the_final_usage_chunk(service: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\nFINAL('word ' * 1000)\n```")
    async with service.openai() as client:
        stream = await client.chat.completions.create(
            model=SERVED_MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert "".join(deltas) == "word " * 1000
    assert len([delta for delta in deltas if delta]) == 5
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "stop"
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == PROMPT_TOKENS
    assert len({chunk.id for chunk in chunks}) == 1


async def test_stream_without_the_option_has_no_usage_and_ends_with_done(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue("FINAL(42)")
    body = {"model": SERVED_MODEL, "messages": QUESTION, "stream": True}
    async with service.http.post(f"{service.url}/v1/chat/completions", json=body) as response:
        lines = [line for line in (await response.text()).split("\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: ") for line in lines)
    assert not any("usage" in json.loads(line[6:]) for line in lines[:-1])


async def test_progress_is_opt_in_and_comes_as_reasoning(service: Service, model: ScriptedModel) -> None:
    async def reasoning(**options: Any) -> str:
        model.enqueue(CODE)
        async with service.openai() as client:
            stream = await client.chat.completions.create(
                model=SERVED_MODEL, messages=QUESTION, stream=True, extra_body={"rlm": options}
            )
            deltas = [chunk.choices[0].delta async for chunk in stream]
        assert "".join(delta.content or "" for delta in deltas) == "re: a re: b"
        return "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas)

    assert await reasoning() == ""
    shown = await reasoning(progress=True)
    assert "Turn 1: asking the model." in shown
    assert "The code asks the sub-model 2 prompts." in shown


async def test_max_tokens_bounds_the_answer(service: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\nFINAL('x' * 1000)\n```")
    async with service.openai() as client:
        done = await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION, max_tokens=10)
    assert done.choices[0].message.content == "x" * 40
    assert done.choices[0].finish_reason == "length"


async def test_best_answer_of_a_run_out_of_iterations_says_so(service: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\npass\n```", "FINAL(about 12)")
    async with service.openai() as client:
        done = await client.chat.completions.create(
            model=SERVED_MODEL, messages=QUESTION, extra_body={"rlm": {"max_iterations": 1}}
        )
    assert done.choices[0].message.content == "about 12"
    assert done.choices[0].finish_reason == "length"
    assert done.model_extra is not None
    assert done.model_extra["rlm"]["stop_reason"] == "max_iterations"


async def test_budget_error_is_not_retried_by_the_sdk_and_carries_the_partial_answer(
    service: Service, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nanswer['content'] = 'half'\nllm_query_batched(['p'] * 9)\n```")
    async with service.openai(max_retries=2) as client:
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await client.chat.completions.create(
                model=SERVED_MODEL, messages=QUESTION, extra_body={"rlm": {"max_subcalls": 8}}
            )
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["code"] == "max_subcalls"
    assert refused.value.body["partial_answer"] == "half"
    assert len(model.root_calls) == 1


async def test_error_in_a_stream_is_a_data_event_that_the_sdk_raises(service: Service, model: ScriptedModel) -> None:
    model.enqueue(Failure(401))
    async with service.openai() as client:
        stream = await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError) as failed:
            [chunk async for chunk in stream]
    assert failed.value.code == "model_error"
    assert "sk-secret" not in str(failed.value.body)


async def test_silent_stream_is_kept_alive_by_pings(impatient: Service, model: ScriptedModel) -> None:
    model.enqueue(Hang())
    body = {"model": SERVED_MODEL, "messages": QUESTION, "stream": True}
    async with impatient.http.post(f"{impatient.url}/v1/chat/completions", json=body) as response:
        await model.until(lambda scripted: scripted.hanging == 1)
        while (await response.content.readline()) != b": ping\n":
            pass
    await model.until(lambda scripted: scripted.abandoned == 1)


async def test_sdk_passes_over_the_pings(impatient: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\nimport time\ntime.sleep(1)\nFINAL(42)\n```")
    async with impatient.openai() as client:
        stream = await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "42"


async def test_slow_plain_reply_begins_with_white_space(impatient: Service, model: ScriptedModel) -> None:
    model.enqueue("```repl\nimport time\ntime.sleep(1)\nFINAL(42)\n```")
    body = {"model": SERVED_MODEL, "messages": QUESTION}
    async with impatient.http.post(f"{impatient.url}/v1/chat/completions", json=body) as response:
        text = await response.text()
    assert text.startswith("\n\n")
    assert json.loads(text)["choices"][0]["message"]["content"] == "42"


async def test_late_failure_cuts_the_connection_and_the_sdks_retry_gets_the_true_status(
    settings: InferenceSettings, tmp_path: Path, model: ScriptedModel
) -> None:
    # A retry must fail before the reply begins, and starts a session first, which takes long on a busy machine.
    pace = Pace(heartbeat=0.05, quiet=1.5, linger=30.0)
    model.enqueue("```repl\nimport time\ntime.sleep(3)\n```", *[Failure(404)] * 10)
    keys = write_keys(tmp_path / "keys", tester=API_KEY)
    async with run_service(settings, keys, pace) as running, running.openai(max_retries=8) as client:
        with pytest.raises(openai.APIStatusError) as failed:
            await client.chat.completions.create(model=SERVED_MODEL, messages=QUESTION)
    assert failed.value.status_code == 502
    assert failed.value.code == "model_error"


async def test_retry_after_a_disconnect_joins_the_run_that_lingers(impatient: Service, model: ScriptedModel) -> None:
    gate = asyncio.Event()
    model.sub_rule = lambda _: Gate(gate, "42")
    model.enqueue("```repl\nFINAL(llm_query('wait'))\n```")

    async def ask(**headers: str) -> str:
        body = {"model": SERVED_MODEL, "messages": QUESTION}
        async with impatient.http.post(f"{impatient.url}/v1/chat/completions", json=body, headers=headers) as response:
            return str((await response.json())["choices"][0]["message"]["content"])

    dropped = asyncio.create_task(ask())
    await model.until(lambda scripted: len(scripted.sub_calls) == 1)
    dropped.cancel()
    await asyncio.wait([dropped])
    retry = asyncio.create_task(ask(**{"x-stainless-retry-count": "1"}))
    gate.set()
    assert await retry == "42"
    assert len(model.root_calls) == 1


@pytest.mark.parametrize(
    ("headers", "runs"),
    [
        ([{}, {}], 2),
        ([{"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}], 1),
        ([{"Idempotency-Key": "k"}, {"Idempotency-Key": "l"}], 2),
        ([{}, {"x-stainless-retry-count": "1"}], 1),
    ],
)
async def test_only_a_repeat_that_says_so_shares_a_run(
    service: Service, model: ScriptedModel, headers: list[dict[str, str]], runs: int
) -> None:
    model.enqueue("FINAL(1)", "FINAL(2)")
    body = {"model": SERVED_MODEL, "messages": QUESTION}
    for sent in headers:
        async with service.http.post(f"{service.url}/v1/chat/completions", json=body, headers=sent) as response:
            assert response.status == 200
    assert len(model.root_calls) == runs
