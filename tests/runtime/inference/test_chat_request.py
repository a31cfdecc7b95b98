"""How chat messages become a question, a context and a history."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.inference.chat_request import LONG_PART, ChatRequest
from runtime.inference.errors import InvalidRequestError
from runtime.inference.question import JsonContext, Question, TextContext

LONG = "long " * LONG_PART
OTHER = "other " * LONG_PART


def ask(*messages: dict[str, Any], **fields: object) -> Question:
    return ChatRequest.model_validate({"model": "m", "messages": list(messages), **fields}).question({})


def user(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def test_short_message_is_the_question_without_context() -> None:
    question = ask({"role": "user", "content": "What is 6 x 7?"})
    assert question.text == "What is 6 x 7?"
    assert question.context == TextContext("")
    assert question.summary.type == "none"


def test_last_text_part_is_the_question_and_the_others_are_context() -> None:
    question = ask(user("a short table", "How many rows?"))
    assert question.text == "How many rows?"
    assert question.context == TextContext("a short table")


def test_long_part_is_context_and_the_rest_of_the_message_is_the_question() -> None:
    question = ask(user("Read this first.", LONG, "How many words?"))
    assert question.text == "Read this first.\n\nHow many words?"
    assert question.context == TextContext(LONG)


def test_long_part_at_the_end_is_context_too() -> None:
    question = ask(user("How many words?", LONG))
    assert question.text == "How many words?"
    assert question.context == TextContext(LONG)


def test_several_long_parts_are_a_list() -> None:
    question = ask(user(LONG, OTHER, "Which is longer?"))
    assert isinstance(question.context, JsonContext)
    assert json.loads(question.context.encoded) == [LONG, OTHER]


def test_message_that_is_one_long_text_shows_both_its_ends_labelled() -> None:
    text = "START" + "x" * 50_000 + "What is at the end?"
    question = ask({"role": "user", "content": text})
    assert question.context == TextContext(text)
    assert "first 1,000 characters:\nSTART" in question.text
    assert question.text.endswith("What is at the end?")
    assert len(question.text) < 3_000


def test_part_of_exactly_the_limit_is_no_long_part() -> None:
    assert ask({"role": "user", "content": "q" * LONG_PART}).text == "q" * LONG_PART
    assert ask({"role": "user", "content": "q" * (LONG_PART + 1)}).summary.characters == LONG_PART + 1


def test_given_question_makes_the_whole_message_context() -> None:
    question = ask(user("short", LONG), rlm={"question": "Which word is most frequent?"})
    assert question.text == "Which word is most frequent?"
    assert isinstance(question.context, JsonContext)
    assert json.loads(question.context.encoded) == ["short", LONG]


def test_system_and_developer_text_goes_to_the_root_prompt() -> None:
    question = ask(
        {"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Answer in French."}, user("Hi?")
    )
    assert question.instructions == "Be brief.\n\nAnswer in French."


def test_long_system_text_is_context() -> None:
    question = ask({"role": "system", "content": LONG}, {"role": "system", "content": "Be brief."}, user("How long?"))
    assert question.instructions == "Be brief."
    assert question.context == TextContext(LONG)


def test_earlier_turns_are_history_and_their_long_parts_context() -> None:
    question = ask(user(LONG, "How many words?"), {"role": "assistant", "content": "Many."}, user("And lines?"))
    assert question.text == "And lines?"
    assert question.context == TextContext(LONG)
    assert question.history == [
        {"role": "user", "content": f"[{len(LONG):,} characters, see context]\n\nHow many words?"},
        {"role": "assistant", "content": "Many."},
    ]


def test_max_tokens_is_kept_for_the_answer() -> None:
    assert ask(user("Hi?"), max_tokens=7).max_answer_tokens == 7
    assert ask(user("Hi?"), max_completion_tokens=9, max_tokens=7).max_answer_tokens == 9


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_field_that_would_change_the_reply_is_refused_by_name(fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ask(user("Hi?"), **fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields",
    [{"n": 1}, {"logprobs": False}, {"tools": []}, {"temperature": 0.2}, {"response_format": {"type": "text"}}],
)
def test_harmless_field_is_accepted(fields: dict[str, object]) -> None:
    assert ask(user("Hi?"), **fields).text == "Hi?"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "only this"}],
        [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}],
        [{"role": "user", "content": "  "}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "tool", "content": "x", "tool_call_id": "1"}, {"role": "user", "content": "Hi?"}],
    ],
)
def test_messages_without_a_question_are_refused(messages: list[dict[str, object]]) -> None:
    with pytest.raises(InvalidRequestError):
        ask(*messages)


def test_unknown_option_of_ours_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_iteration"):
        ask(user("Hi?"), rlm={"max_iteration": 3})
