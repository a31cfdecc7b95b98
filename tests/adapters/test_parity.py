"""The adapters beside what the libraries bring themselves: the same cells, the same results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy
import pytest
from dspy.primitives.code_interpreter import CodeExecutionError, FinalOutput
from rlm.clients import get_client
from rlm.core.lm_handler import LMHandler
from rlm.environments.local_repl import LocalREPL

from runtime.client import SandboxInterpreter, SandboxREPL


@pytest.fixture
def handler(backend: dict[str, Any]) -> Iterator[LMHandler]:
    retrying = {**backend, "max_retries": 3}  # the library asks a second batch over the connections of a closed loop
    with LMHandler(get_client("openai", retrying)) as running:
        yield running


RLMS_CONVERSATIONS = {
    "names": ["print(context, context_0 == context, answer)"],
    "variables": ["import math\nx = [1]\ndef f(): return x", "x.append(2)\nprint(f(), math.floor(2.5))"],
    "calls": ["print(llm_query('a'), llm_query_batched(['b', 'c']), rlm_query('d'), rlm_query_batched(['e']))"],
    "empty batch": ["print(rlm_query_batched([]))"],
    "empty prompt": ["print(llm_query(''))"],
    "tools": ["print(add(1, b=2), table['k'])", "table = 3", "print(table)"],
    "reserved names": ["context = 1; llm_query = 2", "print(context, llm_query('x'))"],
    "answer in steps": ["answer['content'] = 'draft'", "answer['content'] += '!'\nanswer['ready'] = True"],
    "answer as a new dict": ["answer = {'content': 5, 'ready': True}"],
    "second final in one turn": ["answer['content'] = 1\nanswer['ready'] = True", "print('more')"],
}


ONLY_HERE = {  # what the last cell prints or finishes with; the library's own environment (0.1.3) fails at each of them
    "variables of a cell that raises": (["kept = 1\n1 / 0", "print(kept)"], "1\n"),
    "answer.update": (["answer.update(content=1, ready=True)"], "1"),
    "functions that see later ones": (["def f(): return g()", "def g(): return 7", "print(f())"], "7\n"),
    "a class": (["class A:\n    v = 3\nprint(A.v)"], "3\n"),
    "sys.exit": (["import sys\nx = 1\nsys.exit()", "print(x)"], "1\n"),
}


def converse(environment: Any, cells: list[str]) -> tuple[list[tuple[str, bool]], str | None, list[list[str]]]:
    """What each cell printed and whether it was without complaint, the first final answer, the sub-calls' answers."""
    with environment:
        results = [environment.execute_code(cell) for cell in cells]
    return (
        [(result.stdout, result.stderr == "") for result in results],
        next((result.final_answer for result in results if result.final_answer is not None), None),
        [[call.response for call in result.rlm_calls] for result in results],
    )


@pytest.mark.parametrize("name", RLMS_CONVERSATIONS)
def test_cells_give_what_they_give_in_the_librarys_own_environment(name: str, handler: LMHandler) -> None:
    options: dict[str, Any] = {
        "lm_handler_address": handler.address,
        "context_payload": {"a": ["{x}"]},
        "custom_tools": {"add": lambda a, b: a + b, "table": {"tool": {"k": 1}, "description": "data"}},
    }
    cells = RLMS_CONVERSATIONS[name]
    outputs, final, calls = converse(LocalREPL(**options), cells)
    if name == "reserved names":
        outputs[0] = ("", False)  # ours tells the model
    assert converse(SandboxREPL(**options), cells) == (outputs, final, calls)


@pytest.mark.parametrize("name", ONLY_HERE)
def test_known_faults_of_the_librarys_own_environment_are_none_here(name: str) -> None:
    cells, expected = ONLY_HERE[name]
    outputs, final, _ = converse(SandboxREPL(context_payload="x"), cells)
    assert (final or outputs[-1][0]) == expected
    try:
        outputs, final, _ = converse(LocalREPL(context_payload="x"), cells)
    except SystemExit:
        return
    assert (final or outputs[-1][0]) != expected


DSPY_CELLS = [
    ("print('a')\nprint('b')", None),
    ("6 * 7", None),
    ("x = data['n']", {"data": {"n": [1, None]}}),
    ("x", None),
    ("add(1, b=2)", None),
    ("add(a=text, b='!')", {"text": "{braces}"}),
    ("SUBMIT(1, 'two')", None),
    ("SUBMIT(second=2, first=[1])", None),
    ("SUBMIT(1)", None),
    ("missing", None),
    ("x = = 1", None),
    ("import sys; sys.exit()", None),
    ("import json; print(json.dumps(x))", None),
]


def test_cells_give_what_they_give_in_dspys_own_interpreter() -> None:
    outcomes = []
    for kind in (dspy.LocalInterpreter, SandboxInterpreter):
        with kind({"add": lambda a, b: a + b}, [{"name": "first"}, {"name": "second"}]) as interpreter:
            outcomes.append([run_cell(interpreter, code, variables) for code, variables in DSPY_CELLS])
    own, ours = outcomes
    assert ours == own


def run_cell(interpreter: Any, code: str, variables: dict[str, Any] | None) -> Any:
    """The value, or the kind of error and its exception's name."""
    try:
        value = interpreter.execute(code, variables)
    except SyntaxError:
        return SyntaxError
    except CodeExecutionError as error:
        return CodeExecutionError, str(error).partition(":")[0]
    return value.output if isinstance(value, FinalOutput) else value
