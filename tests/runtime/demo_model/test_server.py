"""The stand-in's HTTP surface, through the openai SDK."""

from __future__ import annotations

import time

import openai
import pytest
from openai import OpenAI

from tests.runtime.demo_model.standin import run_standin

PROMPT = "What is the magic number for fox?\n\nThe magic number for fox is 7261."


def test_sub_call_is_answered_from_the_text_in_the_prompt(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="scripted-demo", messages=[{"role": "user", "content": PROMPT}])
    assert completion.choices[0].message.content == "7261"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "scripted-demo"


def test_usage_is_characters_divided_by_four(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model="scripted-demo", messages=[{"role": "user", "content": PROMPT + "x" * 4000}]
    )
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == (len(PROMPT) + 4000) // 4 + 1
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_stream_gives_the_same_text_and_a_usage_chunk(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="scripted-demo",
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "7261"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2
    assert len({chunk.id for chunk in chunks}) == 1


def test_content_in_parts_is_read_as_one_text(client: OpenAI) -> None:
    parts: list[openai.types.chat.ChatCompletionContentPartTextParam] = [
        {"type": "text", "text": "What is the magic number for fox?"},
        {"type": "text", "text": "The magic number for fox is 99."},
    ]
    completion = client.chat.completions.create(model="scripted-demo", messages=[{"role": "user", "content": parts}])
    assert completion.choices[0].message.content == "99"


def test_models_lists_the_stand_in_as_scripted(client: OpenAI) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == ["scripted-demo"]
    assert "scripted" in models[0].owned_by
    assert client.models.retrieve("scripted-demo-sub").id == "scripted-demo-sub"


def test_unknown_model_is_404_model_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hello"}])
    assert error.value.code == "model_not_found"


def test_unknown_path_gets_the_error_envelope(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.embeddings.create(model="scripted-demo", input="x")
    assert error.value.code == "not_found"


def test_unknown_task_is_said_to_be_unknown(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model="scripted-demo", messages=[{"role": "user", "content": "Write me a poem."}]
    )
    assert "scripted-demo" in (completion.choices[0].message.content or "")


def test_injected_failures_hit_every_nth_request_with_the_status() -> None:
    with (
        run_standin("--fail-every", "2", "--fail-status", "429") as url,
        OpenAI(base_url=url, api_key="none", max_retries=0) as client,
    ):
        client.chat.completions.create(model="scripted-demo", messages=[{"role": "user", "content": PROMPT}])
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="scripted-demo", messages=[{"role": "user", "content": PROMPT}])
        client.chat.completions.create(model="scripted-demo", messages=[{"role": "user", "content": PROMPT}])


def test_injected_latency_delays_the_reply() -> None:
    with run_standin("--latency-seconds", "0.3") as url, OpenAI(base_url=url, api_key="none") as client:
        started = time.monotonic()
        client.chat.completions.create(model="scripted-demo", messages=[{"role": "user", "content": PROMPT}])
        assert time.monotonic() - started >= 0.3
