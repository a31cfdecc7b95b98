"""RLM_REPL: a whole run from synchronous code, with the loop of the inference plane."""

from __future__ import annotations

import pytest

from runtime.client import RLM_REPL
from runtime.inference.errors import ModelError
from runtime.inference.events import RunCompleted
from runtime.inference.settings import InferenceSettings
from tests.runtime.inference.sandbox_process import SandboxProcess
from tests.runtime.inference.scripted_model import Failure, ScriptedModel


@pytest.fixture
def rlm(in_cluster: SandboxProcess, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> RLM_REPL:
    monkeypatch.setenv("RLM_MODEL_NAME", "root-model")
    monkeypatch.setenv("RLM_MODEL_BASE_URL", model.base_url)
    return RLM_REPL()


def test_completion_answers_over_a_context(rlm: RLM_REPL, model: ScriptedModel) -> None:
    model.enqueue("```repl\nFINAL(llm_query(context[:5]) + str(len(context)))\n```")
    assert rlm.completion(context="hello world", query="How long?") == "re: hello11"
    assert "How long?" in model.root_calls[0].prompt
    assert rlm.last is not None
    assert (rlm.last.sub_calls, rlm.last.iterations) == (1, 1)
    assert isinstance(rlm.trajectory[-1], RunCompleted)


def test_context_that_was_set_up_is_used_until_reset(rlm: RLM_REPL, model: ScriptedModel) -> None:
    code = "```repl\nFINAL(repr(context))\n```"
    model.enqueue(code, code, code)
    rlm.setup_context({"a": 1}, "What is it?")
    assert rlm.completion() == "{'a': 1}"
    assert rlm.completion(query="And now?") == "{'a': 1}"
    assert "And now?" in model.root_calls[1].prompt
    rlm.reset()
    assert rlm.last is None
    assert rlm.completion() == "''"


def test_run_that_fails_raises_its_error(rlm: RLM_REPL, model: ScriptedModel) -> None:
    model.enqueue(Failure(401))
    with pytest.raises(ModelError, match="refused the key"):
        rlm.completion(context="x", query="q")


def test_explicit_sandbox_address_wins(sandbox: SandboxProcess, model: ScriptedModel) -> None:
    settings = InferenceSettings(
        model_name="root-model",
        model_base_url=model.base_url,
        wasm_service_url="http://127.0.0.1:9",
        wasm_api_key_file=sandbox.key_file,
    )
    model.enqueue("```repl\nFINAL(42)\n```")
    assert RLM_REPL(sandbox.url, settings=settings).completion(query="q") == "42"


def test_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLM_MODEL_NAME", raising=False)
    monkeypatch.setenv("RLM_MODEL_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ValueError, match="RLM_MODEL_NAME"):
        RLM_REPL()
