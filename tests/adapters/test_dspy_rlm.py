"""dspy.RLM and its like with SandboxInterpreter: whole runs over a scripted model."""

from __future__ import annotations

from collections.abc import Iterator

import dspy
import pytest
from dspy.primitives.code_interpreter import CodeInterpreterError
from dspy.primitives.sandbox_serializable import SandboxSerializable

from runtime.client import SandboxInterpreter
from tests.runtime.inference.scripted_model import ScriptedModel


@pytest.fixture(autouse=True)
def language_model(model: ScriptedModel) -> Iterator[None]:
    lm = dspy.LM("openai/root-model", api_base=model.base_url, api_key="test", cache=False, num_retries=0)
    with dspy.context(lm=lm):
        yield


def act(code: str) -> str:
    """A turn in the format of dspy's chat adapter."""
    fence = "```"
    return f"[[ ## reasoning ## ]]\nNext.\n\n[[ ## code ## ]]\n{fence}python\n{code}\n{fence}\n\n[[ ## completed ## ]]"


def test_rlm_answers_over_inputs_with_sub_calls(model: ScriptedModel) -> None:
    model.enqueue(
        act("print(len(context), documents[1]['n'])"),
        act("parts = llm_query_batched([context[:3], query])\nprint(parts)"),
        act("SUBMIT(parts[0] + llm_query(prompt='last {x}'), len(parts))"),
    )
    rlm = dspy.RLM(
        "context, documents, query -> answer: str, count: int", interpreter_factory=SandboxInterpreter, max_iters=5
    )
    found = rlm(context="abc" * 1000, documents=[{"n": 1}, {"n": {"{": "}"}}], query="q?")
    assert (found.answer, found.count) == ("re: abcre: last {x}", 2)
    assert [step["output"] for step in found.trajectory][:2] == ["3000 {'{': '}'}", "['re: abc', 're: q?']"]
    assert sorted(call.prompt for call in model.sub_calls) == ["abc", "last {x}", "q?"]


def test_the_prompt_says_where_the_code_runs(model: ScriptedModel) -> None:
    for factory in (SandboxInterpreter, SandboxInterpreter.factory(timeout=5)):
        model.enqueue(act("SUBMIT('x')"))
        assert dspy.RLM("context -> answer", interpreter_factory=factory)(context="c").answer == "x"
        assert "Python runs in a WebAssembly sandbox" in model.root_calls[-1].messages[0]["content"]


def test_errors_of_the_code_go_back_to_the_model_and_variables_stay(model: ScriptedModel) -> None:
    model.enqueue(
        act("kept = llm_query('paid for')\nprint('so far')\nraise ValueError('then')"),
        act("x = = 1"),
        act("import sys; sys.exit(0)"),
        act("SUBMIT(wrong=1)"),
        act("SUBMIT(kept)"),
    )
    found = dspy.RLM("context -> answer", interpreter_factory=SandboxInterpreter)(context="c")
    assert found.answer == "re: paid for"
    outputs = [step["output"] for step in found.trajectory]
    assert "ValueError: then" in outputs[0]
    assert "so far" in outputs[0]
    assert "SyntaxError" in outputs[1]
    assert "SystemExit" in outputs[2]
    assert "SUBMIT takes exactly these fields, by position or by name: answer" in outputs[3]


def test_fence_inside_a_string_reaches_the_interpreter_or_is_said(model: ScriptedModel) -> None:
    """dspy cuts the reply at the first fence; what is left does not parse, and the model is told."""
    model.enqueue(act('text = """\n```\n"""'), act("SUBMIT('went on')"))
    found = dspy.RLM("context -> answer", interpreter_factory=SandboxInterpreter)(context="c")
    assert found.answer == "went on"
    assert "SyntaxError" in found.trajectory[0]["output"]


def test_tools_of_the_caller_are_called_by_position_and_by_name(model: ScriptedModel) -> None:
    def look_up(key: str, times: int = 1) -> list[str]:
        """Looks up."""
        return [key] * times

    model.enqueue(act("SUBMIT(look_up('a') + look_up(key='b', times=2))"))
    rlm = dspy.RLM("context -> answer: list[str]", tools=[look_up], interpreter_factory=SandboxInterpreter)
    assert rlm(context="c").answer == ["a", "b", "b"]


class Table(SandboxSerializable):  # type: ignore[misc]  # dspy is not among the dependencies that mypy sees
    """An input that says itself how it gets into a sandbox."""

    def sandbox_setup(self) -> str:
        return "import csv"

    def to_sandbox(self) -> bytes:
        return b"\xff a,b\n1,{2}\n"  # no UTF-8, so that it goes as base64

    def sandbox_assignment(self, var_name: str, data_expr: str) -> str:
        return f"{var_name} = list(csv.reader({data_expr}.decode('latin-1').splitlines()))"

    def rlm_preview(self, max_chars: int = 500) -> str:
        return "a table"[:max_chars]


def test_input_with_a_form_of_its_own_is_rebuilt_in_the_sandbox(model: ScriptedModel) -> None:
    model.enqueue(act("SUBMIT(table[1][1] + str(len(table)))"))
    found = dspy.RLM("table -> answer", interpreter_factory=SandboxInterpreter)(table=Table())
    assert found.answer == "{2}2"


def test_sub_agents_in_the_sandbox_run_on_the_host(model: ScriptedModel) -> None:
    model.enqueue(
        act("import dspy\nagent = dspy.Predict('text -> label')\nSUBMIT(agent(text='good').label)"),
        "[[ ## label ## ]]\npositive\n\n[[ ## completed ## ]]",
    )
    assert dspy.RLM("context -> answer", interpreter_factory=SandboxInterpreter)(context="c").answer == "positive"


async def test_acall_works_inside_a_running_loop(model: ScriptedModel) -> None:
    model.enqueue(act("SUBMIT(context.upper())"))
    found = await dspy.RLM("context -> answer", interpreter_factory=SandboxInterpreter).acall(context="c")
    assert found.answer == "C"


def test_configured_factory_serves_other_modules_too(model: ScriptedModel) -> None:
    code = "```python\nSUBMIT({'answer': 6 * 7})\n```"
    model.enqueue(
        f"[[ ## reasoning ## ]]\nx\n\n[[ ## generated_code ## ]]\n{code}\n\n[[ ## completed ## ]]",
        "[[ ## reasoning ## ]]\nx\n\n[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]",
    )
    with dspy.context(interpreter_factory=SandboxInterpreter):
        assert dspy.ProgramOfThought("question -> answer")(question="6 * 7?").answer == "42"


def test_sandbox_that_is_away_ends_the_run_without_an_answer(model: ScriptedModel) -> None:
    away = SandboxInterpreter.factory(wasm_service_url="http://127.0.0.1:9")
    with pytest.raises(CodeInterpreterError, match="WASM_SERVICE_URL"):
        dspy.RLM("context -> answer", interpreter_factory=away)(context="c")
    assert model.requests == []
