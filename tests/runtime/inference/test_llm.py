"""Which key goes to which endpoint."""

from __future__ import annotations

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
from tests.runtime.inference.scripted_model import Raw, ScriptedModel

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
