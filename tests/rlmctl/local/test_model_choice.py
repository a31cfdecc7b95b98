"""Which model a stack on this machine gets, and where which key goes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rlmctl.local.model_choice import apply_choice, choose_model
from rlmctl.local.secret_store import SecretStore

KEYED: dict[str, Any] = {
    "kind": "RLMStack",
    "spec": {
        "model": {"name": "gpt-5", "baseURL": "https://llm.example.org/v1", "apiKeySecretRef": {"name": "llm"}},
        "subModel": {"name": "gpt-5-mini"},
        "inference": {"servedModelName": "answers"},
    },
}
SECRET = {"kind": "Secret", "metadata": {"name": "llm"}, "stringData": {"api-key": "from-file"}}
STAND_IN_URL = "http://127.0.0.1:1/v1"


def keyless(url: str) -> dict[str, Any]:
    return {"kind": "RLMStack", "spec": {"model": {"name": "llama", "baseURL": url}}}


def choose(
    stack: dict[str, Any], environment: dict[str, str], *documents: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    before = copy.deepcopy(stack)
    store = SecretStore(documents)
    choice = choose_model(stack, store, environment)
    changed = apply_choice(choice, stack, store, environment, STAND_IN_URL)
    assert stack == before
    assert choice.say.startswith("model: ")
    assert not any(key in choice.say for key in ("from-file", "from-env"))
    spec: dict[str, Any] = changed["spec"]
    return choice.source, spec


def test_key_in_the_file_wins_over_the_environment() -> None:
    source, spec = choose(KEYED, {"OPENAI_API_KEY": "from-env", "OPENAI_BASE_URL": "http://other/v1"}, SECRET)
    assert source == "manifest"
    assert spec == KEYED["spec"]


def test_endpoint_that_needs_no_key_is_used_as_it_is() -> None:
    source, spec = choose(keyless("http://localhost:11434/v1"), {"OPENAI_API_KEY": "from-env"})
    assert source == "manifest"
    assert spec["model"]["baseURL"] == "http://localhost:11434/v1"


def test_key_of_the_environment_goes_to_openai_and_not_to_the_manifest_s_endpoint() -> None:
    source, spec = choose(KEYED, {"OPENAI_API_KEY": "from-env"})
    assert source == "environment"
    assert spec["model"]["baseURL"] == "https://api.openai.com/v1"
    assert spec["model"]["name"] == "gpt-5"
    assert spec["subModel"] == {"name": "gpt-5-mini"}
    assert "from-env" not in str(spec)


def test_base_url_and_model_of_the_environment_replace_both_models() -> None:
    source, spec = choose(KEYED, {"OPENAI_BASE_URL": "http://other.example/v1", "OPENAI_MODEL": "qwen"})
    assert source == "environment"
    assert spec["model"] == {"name": "qwen", "baseURL": "http://other.example/v1"}
    assert "subModel" not in spec


@pytest.mark.parametrize("stack", [KEYED, keyless("http://vllm.models.svc:8000/v1")])
def test_without_key_or_reachable_endpoint_the_stand_in_answers_under_its_own_name(stack: dict[str, Any]) -> None:
    source, spec = choose(stack, {"OPENAI_API_KEY": ""})
    assert source == "stand-in"
    assert spec["model"] == {"name": "scripted-demo", "baseURL": STAND_IN_URL}
    assert "subModel" not in spec
    assert "servedModelName" not in spec.get("inference", {})


def test_sub_model_whose_key_is_not_here_is_left_out() -> None:
    stack = copy.deepcopy(KEYED)
    stack["spec"]["subModel"] = {"name": "x", "baseURL": "https://sub.example/v1", "apiKeySecretRef": {"name": "sub"}}
    source, spec = choose(stack, {}, SECRET)
    assert source == "manifest"
    assert "subModel" not in spec
