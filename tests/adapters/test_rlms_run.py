"""SandboxRLM: whole completions of the library `rlms`, its loop and its handler, with the code in the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import rlm.environments.local_repl
from rlm.core.types import RLMChatCompletion
from rlm.logger import RLMLogger
from rlm.utils.exceptions import CancellationError, TokenLimitExceededError

from runtime.client import SandboxREPL, SandboxRLM
from runtime.inference.errors import SandboxUnavailableError, SessionLostError
from tests.adapters.sandbox_access import delete_session, session_exists
from tests.runtime.inference.scripted_model import ScriptedModel

READY = "answer['ready'] = True"


def say(code: str) -> str:
    return f"I run this:\n```repl\n{code}\n```"


@pytest.fixture
def conversation(backend: dict[str, Any]) -> Iterator[SandboxRLM]:
    with SandboxRLM(backend_kwargs=backend, persistent=True) as running:
        yield running


def environment_of(running: SandboxRLM) -> SandboxREPL:
    environment = running._persistent_env
    assert isinstance(environment, SandboxREPL)
    return environment


def test_completion_answers_over_a_context_with_sub_calls(backend: dict[str, Any], model: ScriptedModel) -> None:
    model.enqueue(
        say("print(len(context), context[:5])"),
        say(f"answer['content'] = llm_query('sum {{x}}') + '!'\n{READY}"),
    )
    completion = SandboxRLM(backend_kwargs=backend).completion("hello {world}", root_prompt="How long?")
    assert completion.response == "re: sum {x}!"
    assert "13 hello" in str(model.root_calls[1].messages)
    assert [call.prompt for call in model.sub_calls] == ["sum {x}"]
    assert completion.usage_summary.model_usage_summaries["root-model"].total_calls == 3


def test_nothing_of_it_runs_in_the_librarys_local_environment(
    backend: dict[str, Any], model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("code would run on this machine")

    monkeypatch.setattr(rlm.environments.local_repl.LocalREPL, "__init__", refuse)
    model.enqueue(say(f"import sys\nanswer['content'] = rlm_query(sys.platform)\n{READY}"))
    model.enqueue(say(f"answer['content'] = 'child on ' + context\n{READY}"))
    assert SandboxRLM(backend_kwargs=backend, max_depth=2).completion("x").response == "child on wasi"


def test_fence_inside_a_string_does_not_cut_the_cell(backend: dict[str, Any], model: ScriptedModel) -> None:
    code = f'text = """\n```python\nprint(1)\n```\n"""\nanswer["content"] = text.count("```")\n{READY}'
    model.enqueue(say(code))
    assert SandboxRLM(backend_kwargs=backend).completion("x").response == "2"


def test_braces_in_a_system_prompt_and_in_prompts_are_text(backend: dict[str, Any], model: ScriptedModel) -> None:
    model.enqueue(say("answer.update(content=llm_query('{0} {} {name}'), ready=True)"))
    own = 'Reply as {"a": {"b": 1}}. {custom_tools_section}'
    tools = {"limit": {"tool": 3, "description": "at {most}"}}
    running = SandboxRLM(backend_kwargs=backend, custom_system_prompt=own, custom_tools=tools)
    assert running.completion("{context}").response == "re: {0} {} {name}"
    system = model.root_calls[0].messages[0]["content"]
    assert system.startswith('Reply as {"a": {"b": 1}}.')
    assert "at {most}" in system


def test_cell_that_raises_keeps_its_variables_for_the_next_turn(backend: dict[str, Any], model: ScriptedModel) -> None:
    model.enqueue(
        say("kept = llm_query('paid for')\nraise ValueError('then')"),
        say("import sys\nsys.exit(0)"),
        say(f"answer['content'] = kept\n{READY}"),
    )
    assert SandboxRLM(backend_kwargs=backend).completion("x").response == "re: paid for"
    assert "ValueError: then" in str(model.root_calls[1].messages)
    assert len(model.sub_calls) == 1


def test_child_run_has_a_session_of_its_own(backend: dict[str, Any], model: ScriptedModel) -> None:
    told: list[tuple[object, ...]] = []
    model.enqueue(say(f"mine = 1\nanswer['content'] = rlm_query('for the child')\n{READY}"))
    model.enqueue(say(f"answer['content'] = [context, 'mine' in globals()]\n{READY}"))
    running = SandboxRLM(
        backend_kwargs=backend, max_depth=2, logger=RLMLogger(), on_subcall_complete=lambda *what: told.append(what)
    )
    completion = running.completion("x")
    assert completion.response == '["for the child", false]'
    assert [(depth, name, problem) for depth, name, _, problem in told] == [(1, "root-model", None)]
    assert completion.metadata is not None


def test_at_the_largest_depth_rlm_query_is_a_plain_completion(backend: dict[str, Any], model: ScriptedModel) -> None:
    model.enqueue(say(f"answer['content'] = rlm_query('a')\n{READY}"))
    model.enqueue(say(f"answer['content'] = rlm_query('b')\n{READY}"))
    assert SandboxRLM(backend_kwargs=backend, max_depth=2).completion("x").response == "re: b"


def test_child_that_fails_is_an_error_string(backend: dict[str, Any], model: ScriptedModel) -> None:
    model.enqueue(say(f"answer['content'] = rlm_query('a', model='root-model')\n{READY}"))  # then the script ends
    response = SandboxRLM(backend_kwargs=backend, max_depth=2).completion("x").response
    assert response.startswith("Error: Child RLM completion failed - ")


def test_children_of_a_batch_inherit_tools_and_keep_their_order(backend: dict[str, Any], model: ScriptedModel) -> None:
    prompts = [f"p{index}" for index in range(5)]
    model.enqueue(say(f"answer['content'] = ' '.join(rlm_query_batched({prompts!r}))\n{READY}"))
    model.enqueue(*[say(f"answer['content'] = shout(context)\n{READY}")] * 5)
    running = SandboxRLM(backend_kwargs=backend, max_depth=2, custom_tools={"shout": str.upper})
    assert running.completion("x").response == "P0 P1 P2 P3 P4"


def test_conversation_keeps_variables_contexts_and_histories(conversation: SandboxRLM, model: ScriptedModel) -> None:
    model.enqueue(say(f"seen = context\nanswer['content'] = 'one'\n{READY}"))
    assert conversation.completion("first").response == "one"
    session = environment_of(conversation).session_id
    model.enqueue(say("print(answer)"), say(f"answer['content'] = [seen, context, context_1, len(history)]\n{READY}"))
    assert conversation.completion("second").response == '["first", "first", "second", 3]'
    assert "{'content': '', 'ready': False}" in str(model.root_calls[2].messages)  # not the first answer
    assert environment_of(conversation).session_id == session
    conversation.close()
    assert not session_exists(session)


def test_lost_session_ends_the_conversation_until_it_is_closed(conversation: SandboxRLM, model: ScriptedModel) -> None:
    model.enqueue(say(f"seen = 1\nanswer['content'] = 'one'\n{READY}"))
    conversation.completion("first")
    delete_session(environment_of(conversation).session_id)
    for _ in range(2):
        with pytest.raises(SessionLostError):
            conversation.completion("second")
    conversation.close()
    model.enqueue(say(f"answer['content'] = [context, 'seen' in globals()]\n{READY}"))
    assert conversation.completion("third").response == '["third", false]'


def test_sandbox_that_is_away_ends_the_run_without_an_answer(backend: dict[str, Any], model: ScriptedModel) -> None:
    running = SandboxRLM(backend_kwargs=backend, environment_kwargs={"wasm_service_url": "http://127.0.0.1:9"})
    with pytest.raises(SandboxUnavailableError, match="WASM_SERVICE_URL"):
        running.completion("x")
    assert model.requests == []


def test_sandbox_that_is_away_for_a_child_ends_the_whole_run(
    backend: dict[str, Any], model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.enqueue(say(f"answer['content'] = rlm_query('a')\n{READY}"))
    running = SandboxRLM(
        backend_kwargs=backend,
        max_depth=2,
        on_subcall_start=lambda *_: monkeypatch.setenv("WASM_SERVICE_URL", "http://127.0.0.1:9"),
    )
    with pytest.raises(SandboxUnavailableError, match="could not be reached"):
        running.completion("x")


def test_session_ends_with_the_completion_also_when_that_fails(backend: dict[str, Any], model: ScriptedModel) -> None:
    sessions: list[str] = []

    class Noted(SandboxRLM):
        def _open_environment(self, prompt: Any, address: tuple[str, int]) -> SandboxREPL:
            environment = super()._open_environment(prompt, address)
            sessions.append(environment.session_id)
            return environment

    running = Noted(backend_kwargs=backend, max_tokens=1, custom_tools={"look": lambda: session_exists(sessions[0])})
    model.enqueue(say("assert look()"))
    with pytest.raises(TokenLimitExceededError):
        running.completion("x")
    assert not session_exists(sessions[0])


def test_interrupt_by_the_user_is_the_librarys_cancellation(backend: dict[str, Any], model: ScriptedModel) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    model.enqueue(say("wait()"))
    with pytest.raises(CancellationError):
        SandboxRLM(backend_kwargs=backend, custom_tools={"wait": interrupt}).completion("x")


def test_compaction_keeps_the_whole_history_in_the_repl(backend: dict[str, Any], model: ScriptedModel) -> None:
    model.enqueue(
        say("print(1)"), "a summary", say(f"answer['content'] = [type(e).__name__ for e in history]\n{READY}")
    )
    running = SandboxRLM(backend_kwargs=backend, compaction=True, compaction_threshold_pct=0.0)
    model.replies.appendleft("summary of nothing")
    completion: RLMChatCompletion = running.completion("x")
    assert completion.response == '["dict", "list", "dict"]'


def test_another_environment_cannot_be_asked_for(backend: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="environment"):
        SandboxRLM(backend_kwargs=backend, environment="local")
