"""SandboxREPL by itself: the names, contexts and tools of an rlms environment, and what its handler is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rlm.clients import get_client
from rlm.core.lm_handler import LMHandler
from rlm.core.types import RLMChatCompletion, UsageSummary
from rlm.environments.base_env import SupportsCustomTools, SupportsPersistence

from runtime.client import SandboxREPL
from runtime.inference.errors import SandboxUnavailableError, SessionLostError
from tests.adapters.sandbox_access import delete_session, session_exists
from tests.runtime.inference.scripted_model import Failure, ScriptedModel


@pytest.fixture(scope="module")
def shared() -> Iterator[SandboxREPL]:
    with SandboxREPL(context_payload="one two") as repl:
        yield repl


@pytest.fixture
def handler(backend: dict[str, Any]) -> Iterator[LMHandler]:
    """The library's own."""
    with LMHandler(get_client("openai", backend)) as running:
        yield running


def complete(prompt: str, model: str | None) -> RLMChatCompletion:
    """Stands in for RLM._subcall."""
    if prompt == "bad":
        raise ValueError("no child for this")
    return RLMChatCompletion(model or "child", prompt, f"child: {prompt}", UsageSummary({}), 0.1)


def test_every_name_of_the_library_is_there(shared: SandboxREPL) -> None:
    code = """
for name in ("llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched", "SHOW_VARS"):
    assert callable(globals()[name]), name
print(context, context_0, history, answer)
"""
    result = shared.execute_code(code)
    assert (result.stdout, result.stderr) == ("one two one two [] {'content': '', 'ready': False}\n", "")


def test_code_runs_in_the_sandbox_and_never_in_this_process(shared: SandboxREPL, tmp_path: Path) -> None:
    ran = tmp_path / "ran-here"
    result = shared.execute_code(f"import sys\nopen({str(ran)!r}, 'w').write('x')\n")
    assert not ran.exists()
    assert result.stderr != ""
    assert shared.execute_code("import sys; print(sys.platform)").stdout == "wasi\n"


def test_it_is_what_the_library_takes_for_persistence_and_tools(shared: SandboxREPL) -> None:
    assert isinstance(shared, SupportsPersistence)
    assert isinstance(shared, SupportsCustomTools)


def test_variables_of_a_cell_that_raises_are_kept(shared: SandboxREPL) -> None:
    result = shared.execute_code("kept = 41\nprint('so far')\nraise ValueError('later')")
    assert result.stdout == "so far\n"
    assert "ValueError: later" in result.stderr
    assert shared.execute_code("print(kept + 1)").stdout == "42\n"


def test_sys_exit_ends_the_cell_and_nothing_else(shared: SandboxREPL) -> None:
    assert "SystemExit" in shared.execute_code("before = 1\nimport sys\nsys.exit(3)").stderr
    assert shared.execute_code("print(before)").stdout == "1\n"


def test_reserved_names_come_back_after_a_cell_that_assigns_them(shared: SandboxREPL) -> None:
    shared.execute_code("context = 'mine'; llm_query = None; SHOW_VARS = 3")
    assert (
        shared.execute_code("print(context, callable(llm_query), callable(SHOW_VARS))").stdout == "one two True True\n"
    )


def test_locals_have_values_and_reprs_of_what_has_none(shared: SandboxREPL) -> None:
    found = shared.execute_code("number = 7\nwords = ['a']\ndef f(): pass").locals
    assert (found["number"], found["words"]) == (7, ["a"])
    assert not isinstance(found["f"], str)
    assert repr(found["f"]).startswith("<function f")


def test_cell_that_runs_too_long_is_taken_back_and_says_so() -> None:
    with SandboxREPL(timeout=1) as repl:
        repl.execute_code("x = 1")
        assert "timeout: " in repl.execute_code("x = 2\nwhile True: pass").stderr
        assert repl.execute_code("print(x)").stdout == "1\n"


def test_contexts_are_numbered_and_the_first_one_is_context() -> None:
    with SandboxREPL() as repl:
        assert (repl.add_context("first"), repl.add_context({"b": [2]}), repl.add_context(["c"], 5)) == (0, 1, 5)
        assert repl.get_context_count() == 6
        assert (
            repl.execute_code("print(context, context_0, context_1, context_5)").stdout
            == "first first {'b': [2]} ['c']\n"
        )


def test_histories_are_copies_and_numbered() -> None:
    messages = [{"role": "user", "content": "{braces} ```"}]
    with SandboxREPL(context_payload="x") as repl:
        assert repl.add_history(messages) == 0
        messages[0]["content"] = "changed later"
        assert repl.add_history([]) == 1
        assert repl.get_history_count() == 2
        result = repl.execute_code("print(history[0]['content'], history is history_0, history_1)")
        assert result.stdout == "{braces} ``` True []\n"


def test_compaction_appends_to_the_history(shared: SandboxREPL) -> None:
    with SandboxREPL(context_payload="x", compaction=True) as repl:
        repl.append_compaction_entry([{"role": "assistant", "content": "a"}])
        repl.append_compaction_entry({"type": "summary", "content": "s"})
        repl.execute_code("history = None")
        assert repl.execute_code("print([type(e).__name__ for e in history])").stdout == "['list', 'dict']\n"


def test_answer_is_final_by_item_by_update_and_by_a_new_dict() -> None:
    for code in (
        "answer['content'] = 42\nanswer['ready'] = True",
        "answer.update(content=42, ready=True)",
        "answer = {'content': 42, 'ready': True}",
    ):
        with SandboxREPL(context_payload="x") as repl:
            assert repl.execute_code("answer['content'] = 'draft'").final_answer is None
            assert repl.execute_code(code).final_answer == "42"


def test_answer_larger_than_any_cap_of_a_reply_is_whole() -> None:
    with SandboxREPL(context_payload="x") as repl:
        final = repl.execute_code("answer.update(content='ab' * 3_000_000, ready=True)").final_answer
        assert final == "ab" * 3_000_000


def test_sub_calls_go_to_the_librarys_handler_and_are_recorded(handler: LMHandler, model: ScriptedModel) -> None:
    model.sub_rule = lambda prompt: Failure(400) if prompt == "bad" else f"re: {prompt}"
    with SandboxREPL(handler.address, "x") as repl:
        result = repl.execute_code(
            "print(llm_query('a {b}'))\nprint(llm_query_batched(['c', 'bad', 'd'], model='root-model'))"
        )
        single, batch = result.stdout.splitlines()
        assert single == "re: a {b}"
        assert re.fullmatch(r"\['re: c', .Error: .*, 're: d'\]", batch)
        assert [call.response for call in result.rlm_calls] == ["re: a {b}", "re: c", "re: d"]
        assert repl.execute_code("1").rlm_calls == []
    assert handler.get_usage_summary().total_input_tokens == 30


def test_rlm_query_asks_the_child_in_order_and_a_failed_one_is_an_error(handler: LMHandler) -> None:
    with SandboxREPL(handler.address, "x", subcall_fn=complete) as repl:
        result = repl.execute_code("print(rlm_query('one', 'm'))\nprint(rlm_query_batched(['a', 'bad', 'b']))")
        assert result.stdout.splitlines() == [
            "child: one",
            "['child: a', 'Error: RLM query failed - no child for this', 'child: b']",
        ]
        assert [(call.prompt, call.root_model) for call in result.rlm_calls] == [
            ("one", "m"),
            ("a", "child"),
            ("b", "child"),
        ]


def test_rlm_query_is_llm_query_without_children(handler: LMHandler) -> None:
    with SandboxREPL(handler.address, "x") as repl:
        assert repl.execute_code("print(rlm_query('one'), rlm_query_batched(['two', 'three']))").stdout == (
            "re: one ['re: two', 're: three']\n"
        )


def test_without_a_handler_a_sub_call_is_an_error_string(shared: SandboxREPL) -> None:
    assert shared.execute_code("print(llm_query('a'))").stdout == "Error: No LM handler configured\n"


def test_custom_tools_run_here_and_data_goes_there() -> None:
    def add(a: int, b: int = 1) -> dict[str, int]:
        """Adds."""
        return {"sum": a + b}

    tools = {
        "add": {"tool": add, "description": "adds"},
        "limits": {"tool": {"most": 3}, "description": "data"},
        "label": "text {x}",
    }
    with SandboxREPL(context_payload="x", custom_tools=tools) as repl:
        assert repl.execute_code("print(add(1, b=2)['sum'], add(5), limits, label)").stdout == (
            "3 {'sum': 6} {'most': 3} text {x}\n"
        )
        repl.execute_code("add = None")
        assert repl.execute_code("print(add(1))").stdout == "{'sum': 2}\n"


def test_tool_that_fails_or_gives_no_json_raises_in_the_cell() -> None:
    def fail() -> None:
        raise LookupError("nothing here")

    with SandboxREPL(custom_tools={"fail": fail, "make": object}) as repl:
        assert "RuntimeError: LookupError: nothing here" in repl.execute_code("fail()").stderr
        assert "has no JSON form" in repl.execute_code("make()").stderr
        assert "takes JSON values only" in repl.execute_code("make(object())").stderr
        assert repl.execute_code("print(1)").stdout == "1\n"


def test_code_that_forges_a_call_gets_an_error_and_no_tool() -> None:
    def here() -> str:
        raise AssertionError("not asked")

    with SandboxREPL(custom_tools={"tool": here}) as repl:
        for payload in ("{}", '{"name": "__import__", "positional": [], "named": {}}', "["):
            result = repl.execute_code(f"import sandbox\nsandbox.call('client.tool', {payload!r})")
            assert "RuntimeError" in result.stderr


@pytest.mark.parametrize("name", ["llm_query", "FINAL", "not a name", "class"])
def test_tool_with_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SandboxREPL(custom_tools={name: len})


def test_setup_code_runs_first_and_one_that_fails_is_an_error() -> None:
    with SandboxREPL(context_payload="x", setup_code="import math\nhalf = math.pi / 2") as repl:
        assert repl.execute_code("print(round(half, 2))").stdout == "1.57\n"
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        SandboxREPL(setup_code="1 / 0")


def test_interrupt_of_a_sub_call_leaves_the_session_usable() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with SandboxREPL(custom_tools={"wait": interrupt}) as repl:
        repl.execute_code("x = 1")
        with pytest.raises(KeyboardInterrupt):
            repl.execute_code("x = 2\nwait()")
        assert repl.execute_code("print(x)").stdout == "1\n"


def test_lost_session_is_an_error_each_time_and_never_an_empty_one() -> None:
    with SandboxREPL(context_payload="x") as repl:
        repl.execute_code("y = 1")
        delete_session(repl.session_id)
        for _ in range(2):
            with pytest.raises(SessionLostError):
                repl.execute_code("print('y' in globals())")


def test_session_that_is_lost_while_a_sub_call_is_answered_is_an_error() -> None:
    sessions: list[str] = []
    with SandboxREPL(custom_tools={"lose": lambda: delete_session(sessions[0])}) as repl:
        sessions.append(repl.session_id)
        with pytest.raises(SessionLostError):
            repl.execute_code("lose()")


def test_cleanup_ends_the_session_and_may_be_repeated() -> None:
    repl = SandboxREPL(context_payload="x")
    assert session_exists(repl.session_id)
    repl.cleanup()
    repl.cleanup()
    assert not session_exists(repl.session_id)
    with pytest.raises(RuntimeError, match="closed"):
        repl.execute_code("1")


def test_sandbox_that_is_away_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(SandboxUnavailableError, match="WASM_SERVICE_URL"):
        SandboxREPL(wasm_service_url="http://127.0.0.1:9")


def test_context_that_has_no_json_form_is_refused() -> None:
    with pytest.raises(ValueError, match="context_0: a dict cannot go into the sandbox"):
        SandboxREPL(context_payload={"a": object()})
