"""Chat completions with each SDK: plain, streamed, with usage, over files."""

from __future__ import annotations

from typing import Any

from tests.runtime.inference.metrics_page import until_metrics
from tests.runtime.inference.scripted_model import COMPLETION_TOKENS, PROMPT_TOKENS, Hang, ScriptedModel
from tests.runtime.inference.sdk.clients import Sdk, Target
from tests.runtime.inference.service import SERVED_MODEL, Service

QUESTION: Any = [{"role": "user", "content": "How many?"}]
ASK = {"model": SERVED_MODEL, "messages": QUESTION}
CANCELLED = {'rlm_inference_requests_total{status="cancelled"}': 1}
CODE = "```repl\nFINAL(' '.join(llm_query_batched(['a', 'b'])))\n```"


async def test_plain_completion_has_answer_usage_and_summary(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue(CODE)
    done = await sdk.chat(target, **ASK)
    assert done["object"] == "chat.completion"
    assert done["choices"][0]["message"]["content"] == "re: a re: b"
    assert done["choices"][0]["finish_reason"] == "stop"
    assert done["usage"]["total_tokens"] == 3 * (PROMPT_TOKENS + COMPLETION_TOKENS)
    assert done["rlm"]["sub_calls"] == 2


async def test_stream_gives_the_answer_in_deltas_and_one_finish_reason(
    sdk: Sdk, target: Target, model: ScriptedModel
) -> None:
    model.enqueue("```repl\nFINAL('word ' * 1000)\n```")
    chunks = await sdk.chat_stream(target, **ASK)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "word " * 1000
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert not any("usage" in chunk for chunk in chunks)


async def test_stream_with_usage_ends_with_it(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue("FINAL(42)")
    chunks = await sdk.chat_stream(target, **ASK, stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == PROMPT_TOKENS
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_caller_who_leaves_a_stream_ends_the_run(
    sdk: Sdk, target: Target, service: Service, model: ScriptedModel
) -> None:
    model.enqueue(Hang())
    chunks = await sdk.chat_stream(target, leave_after=1, **ASK)
    assert len(chunks) == 1
    await until_metrics(service, service.url, **CANCELLED)


async def test_question_over_an_uploaded_file(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue("```repl\nFINAL(context[:5] + str(len(context)))\n```")
    stored = await sdk.upload(target, "long.txt", "grün " * 10_000)
    content = [{"type": "file", "file": {"file_id": stored["id"]}}, {"type": "text", "text": "How long?"}]
    done = await sdk.chat(target, model=SERVED_MODEL, messages=[{"role": "user", "content": content}])
    assert done["choices"][0]["message"]["content"] == "grün 50000"


async def test_structured_answer_is_the_json_that_was_asked_for(sdk: Sdk, target: Target, model: ScriptedModel) -> None:
    model.enqueue("```repl\nFINAL({'count': 3})\n```")
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    form = {"type": "json_schema", "json_schema": {"name": "counted", "schema": schema}}
    done = await sdk.chat(target, **ASK, response_format=form)
    assert done["choices"][0]["message"]["content"] == '{"count": 3}'
