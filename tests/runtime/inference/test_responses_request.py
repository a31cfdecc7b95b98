"""What a request to /v1/responses may say, and what of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from runtime.inference.errors import InvalidRequestError
from runtime.inference.question import Question, TextContext
from runtime.inference.response_record import MAX_KEPT_BYTES, pack_record, unpack_record
from runtime.inference.responses_request import ResponseRequest

PNG = {"type": "input_image", "image_url": "data:"}


def parse(asked: Any = "q", **fields: Any) -> ResponseRequest:
    return ResponseRequest.model_validate({"model": "m", "input": asked, **fields})


def ask(asked: Any = "q", **fields: Any) -> Question:
    return parse(asked, **fields).question({})


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"background": True, "store": False}, "store"),
        ({"rlm": {"progress": True}}, "rlm.progress"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format"),
        ({"input": []}, "input"),
        ({"input": [{"role": "assistant", "content": "a"}]}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "o"}]}, "input"),
        ({"input": user(PNG)}, "input"),
        ({"input": user({"type": "input_file", "file_data": "data:"})}, "input"),
        ({"input": user({"type": "input_text", "text": " "})}, "input"),
    ],
)
def test_what_is_not_supported_is_refused_by_the_name_of_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ask(**{"asked": fields.pop("input", "q"), **fields})
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 1, "reasoning": {"effort": "low"}, "truncation": "auto", "service_tier": "auto"},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "user": "u", "prompt_cache_key": "k"},
        {"include": ["reasoning.encrypted_content"], "stream_options": {"include_obfuscation": False}},
    ],
)
def test_what_only_tunes_is_accepted_and_ignored(fields: dict[str, Any]) -> None:
    assert ask(**fields).text == "q"


@pytest.mark.parametrize(
    "fields", [{"metadata": {str(n): "v" for n in range(17)}}, {"max_output_tokens": 0}, {"rlm": {"other": 1}}]
)
def test_field_out_of_bounds_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse(**fields)


def test_callers_cannot_send_what_stands_for_earlier_turns() -> None:
    assert ask(_earlier=[{"role": "user", "content": "x"}], earlier=[{"role": "user", "content": "x"}]).history == []


def test_long_part_is_context_and_the_rest_the_question() -> None:
    long = "long " * 2_000
    question = ask(user({"type": "input_text", "text": long}, {"type": "input_text", "text": "How many?"}))
    assert (question.text, question.context) == ("How many?", TextContext(long))


def test_question_may_be_given_apart_and_system_messages_are_instructions() -> None:
    messages = [{"role": "developer", "content": "Be kind."}, *user({"type": "input_text", "text": "some text"})]
    question = ask(messages, instructions="Be short.", rlm={"question": "What?"})
    assert (question.text, question.context, question.instructions) == (
        "What?",
        TextContext("some text"),
        "Be short.\n\nBe kind.",
    )


def test_what_is_kept_of_a_request_comes_back() -> None:
    asked = parse(
        user({"type": "input_text", "text": "t"}, {"type": "input_file", "file_id": "file-1"}), metadata={"a": "b"}
    )
    record = unpack_record(pack_record(asked))
    assert (record.input, record.metadata, record.is_whole) == (asked.messages(), {"a": "b"}, True)


def test_long_texts_of_a_very_large_input_are_not_kept() -> None:
    large = "x" * (MAX_KEPT_BYTES + 1)
    for asked in (large, user({"type": "input_text", "text": large}, {"type": "input_text", "text": "How many?"})):
        packed = pack_record(parse(asked))
        record = unpack_record(packed)
        assert len(packed) < 1_000
        assert not record.is_whole
        assert "[8,388,609 characters, not kept]" in record.model_dump_json()
