"""Which key goes to which endpoint."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.inference.errors import ModelError
from runtime.inference.llm import Completion, Models
from runtime.inference.metrics import Metrics
from runtime.inference.prompts import Message
from runtime.inference.settings import InferenceSettings
from runtime.inference.tracing import Tracing
from runtime.inference.usage import Usage
from tests.runtime.inference.scripted_model import Failure, Raw, Reply, ScriptedModel

ASK = [Message(role="system", content="s"), Message(role="user", content="q")]


@pytest.fixture
async def other_model() -> AsyncIterator[ScriptedModel]:
    scripted = await ScriptedModel().start()
    yield scripted
    await scripted.stop()


async def ask_both(settings: InferenceSettings) -> None:
    models = Models(settings, Metrics(), Tracing())
    try:
        await models.ask_turn(ASK, "m", "root")
        assert isinstance(await models.ask_sub("p", None), Completion)
    finally:
        await models.close()


def keys_seen(model: ScriptedModel) -> list[str | None]:
    return [request.headers.get("Authorization") for request in model.requests]


async def test_without_a_key_file_no_key_is_sent_not_even_from_the_environment(
    model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-someone-elses")
    model.enqueue("r")
    await ask_both(InferenceSettings(model_name="m", model_base_url=model.base_url))
    assert keys_seen(model) == [None, None]


async def test_name_and_password_in_the_address_are_sent_as_its_authorization(
    model: ScriptedModel, tmp_path: Path
) -> None:
    (key_file := tmp_path / "key").write_text("root-key\n")
    model.enqueue("r")
    url = model.base_url.replace("http://", "http://proxy:pass%20word@")
    await ask_both(InferenceSettings(model_name="m", model_base_url=url, model_api_key_file=key_file))
    assert keys_seen(model) == [f"Basic {b64encode(b'proxy:pass word').decode()}"] * 2


async def test_sub_model_at_the_same_endpoint_shares_the_key(model: ScriptedModel, tmp_path: Path) -> None:
    (key_file := tmp_path / "key").write_text("root-key\n")
    model.enqueue("r")
    await ask_both(
        InferenceSettings(
            model_name="m", sub_model_name="n", model_base_url=model.base_url, model_api_key_file=key_file
        )
    )
    assert keys_seen(model) == ["Bearer root-key"] * 2


async def test_sub_model_at_another_endpoint_never_gets_the_roots_key(
    model: ScriptedModel, other_model: ScriptedModel, tmp_path: Path
) -> None:
    (root_key := tmp_path / "root").write_text("root-key")
    (sub_key := tmp_path / "sub").write_text("sub-key")
    settings = InferenceSettings(
        model_name="m",
        model_base_url=model.base_url,
        model_api_key_file=root_key,
        sub_model_base_url=other_model.base_url,
    )
    model.enqueue("r", "r")
    await ask_both(settings)
    await ask_both(settings.model_copy(update={"sub_model_api_key_file": sub_key}))
    assert keys_seen(model) == ["Bearer root-key"] * 2
    assert keys_seen(other_model) == [None, "Bearer sub-key"]


async def test_rotated_key_is_used_at_the_next_call(model: ScriptedModel, tmp_path: Path) -> None:
    (key_file := tmp_path / "key").write_text("old")
    settings = InferenceSettings(model_name="m", model_base_url=model.base_url, model_api_key_file=key_file)
    models = Models(settings, Metrics(), Tracing())
    try:
        model.enqueue("r", "r")
        await models.ask_turn(ASK, "m", "root")
        key_file.write_text("new")
        await models.ask_turn(ASK, "m", "root")
        assert keys_seen(model) == ["Bearer old", "Bearer new"]
        key_file.unlink()
        with pytest.raises(ModelError):
            await models.ask_turn(ASK, "m", "root")
    finally:
        await models.close()


async def test_requests_say_nothing_of_this_machine(model: ScriptedModel) -> None:
    model.enqueue("r")
    await ask_both(InferenceSettings(model_name="m", model_base_url=model.base_url))
    said = {name.lower() for request in model.requests for name in request.headers}
    assert {"user-agent", "x-stainless-retry-count"} <= said
    assert not {"x-stainless-os", "x-stainless-arch", "x-stainless-runtime-version"} & said


async def test_later_requests_are_as_the_first_but_for_what_is_their_own(model: ScriptedModel, tmp_path: Path) -> None:
    """They are copies of it. A cookie that the endpoint gave, a retry's number and the length are each one's own."""
    (key_file := tmp_path / "key").write_text("key-of-root")
    settings = InferenceSettings(
        model_name="m",
        model_base_url=model.base_url,
        model_api_key_file=key_file,
        model_extra_headers={"x-team": "a"},
    )
    replies: list[Reply] = ["r", Failure(400, headers={"Set-Cookie": "node=7"}), "r"]
    replies += [Failure(500, headers={"retry-after-ms": "1"}), "r", "r"]
    model.sub_rule = lambda _: replies.pop(0)
    models = Models(settings, Metrics(), Tracing())
    try:
        for prompt in ("p", "longer", "p", "p", "p"):
            await models.ask_sub(prompt, None)
    finally:
        await models.close()
    own = ("Content-Length", "Cookie", "x-stainless-retry-count")
    first, second, third, fourth, retry, last = (dict(request.headers) for request in model.requests)
    said = [[headers.pop(name, None) for name in own] for headers in (first, second, third, fourth, retry, last)]
    assert first == second == third == fourth == retry == last
    assert (first["x-team"], first["Authorization"]) == ("a", "Bearer key-of-root")
    length = said[0][0]
    assert length is not None
    assert said[:3] == [[length, None, "0"], [str(int(length) + 5), None, "0"], [length, "node=7", "0"]]
    assert said[3:] == [[length, "node=7", count] for count in ("0", "1", "0")]


async def test_calls_that_are_cancelled_before_they_begin_keep_nobody_waiting(model: ScriptedModel) -> None:
    models = Models(InferenceSettings(model_name="m", model_base_url=model.base_url), Metrics(), Tracing())
    try:
        calls = [asyncio.create_task(models.ask_sub(f"p{index}", None)) for index in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(await models.ask_sub("last", None), Completion)
        assert [answer.text for answer in answers if isinstance(answer, Completion)] == [
            f"re: p{index}" for index in range(1, 20, 2)
        ]
    finally:
        await models.close()


@pytest.mark.parametrize(
    ("body", "completion"),
    [
        ('{"choices": [{"message": {"content": null}}]}', Completion("", Usage())),
        ('{"choices": [{"message": {}}], "usage": {"prompt_tokens": null}}', Completion("", Usage())),
        (
            '{"choices": [{"message": {"content": "a"}}, 7], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}',
            Completion("a", Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)),
        ),
    ],
)
async def test_reply_is_read_whatever_it_leaves_out(model: ScriptedModel, body: str, completion: Completion) -> None:
    model.sub_rule = lambda _: Raw(body)
    models = Models(InferenceSettings(model_name="m", model_base_url=model.base_url), Metrics(), Tracing())
    try:
        assert await models.ask_sub("p", None) == completion
    finally:
        await models.close()
