"""SandboxInterpreter by itself: dspy's interpreter protocol over the sandbox."""

from __future__ import annotations

import contextvars
import datetime
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from dspy.primitives.code_interpreter import CodeExecutionError, CodeInterpreter, CodeInterpreterError, FinalOutput
from pydantic import BaseModel

from runtime.client import SandboxInterpreter
from tests.adapters.sandbox_access import delete_session, session_exists


@pytest.fixture(scope="module")
def shared() -> Iterator[SandboxInterpreter]:
    with SandboxInterpreter() as interpreter:
        yield interpreter


def test_it_is_a_code_interpreter_of_dspy(shared: SandboxInterpreter) -> None:
    assert isinstance(shared, CodeInterpreter)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("print(1)\nprint('two')", "1\ntwo"),
        ("x = 1", None),
        ("None", None),
        ("6 * 7", 42),
        ("'text'", "text"),
        ("[1, {'a': None}]", [1, {"a": None}]),
        ("object", "<class 'object'>"),
        ("print('seen')\n6 * 7", ["seen", 42]),
        ("print()", None),
        ("import sys; print('e', file=sys.stderr)", "e"),
        ("import sys; sys.platform", "wasi"),
    ],
)
def test_output_is_what_was_printed_or_the_last_value(shared: SandboxInterpreter, code: str, output: Any) -> None:
    assert shared(code) == output


def test_state_persists_and_survives_an_exception(shared: SandboxInterpreter) -> None:
    with pytest.raises(CodeExecutionError, match=r"ZeroDivisionError: division by zero\nPrinted before:\nso far"):
        shared("kept = 41\nprint('so far')\n1 / 0")
    assert shared("kept + 1") == 42


@pytest.mark.parametrize("code", ["x = = 1", "if True:\nx = 1", "'unfinished"])
def test_code_that_does_not_parse_is_a_syntax_error(shared: SandboxInterpreter, code: str) -> None:
    with pytest.raises(SyntaxError):
        shared(code)


def test_sys_exit_is_an_error_of_the_code_and_never_a_result(shared: SandboxInterpreter) -> None:
    with pytest.raises(CodeExecutionError, match="SystemExit"):
        shared("import sys; sys.exit(0)")


def test_cell_that_runs_too_long_is_undone_and_the_interpreter_goes_on() -> None:
    with SandboxInterpreter(timeout=1) as interpreter:
        interpreter("x = 1")
        with pytest.raises(CodeExecutionError, match=r"timeout: .*variables are as they were before it"):
            interpreter("x = 2\nwhile True: pass")
        assert interpreter("x") == 1


def test_variables_are_there_as_given_in_each_cell(shared: SandboxInterpreter) -> None:
    given = {"text": "a {b} ```", "data": {"n": [1]}, "nothing": None, "far": math.inf, "ü": "name"}
    assert shared("data['n'].append(2)\n[text, data, nothing, far > 1, ü]", given) == [
        "a {b} ```",
        {"n": [1, 2]},
        None,
        True,
        "name",
    ]
    assert shared("text = 'mine'\ndata", given) == {"n": [1]}
    assert shared("data", {"data": (3,)}) == [3]
    assert shared("text") == "mine"


def test_structured_variables_arrive_as_json(shared: SandboxInterpreter) -> None:
    @dataclass
    class Point:
        x: int

    class Model(BaseModel):
        name: str

    given = {"p": Point(1), "m": Model(name="n"), "s": {3}, "d": datetime.date(2026, 1, 2)}
    assert shared("[p, m, s, d]", given) == [{"x": 1}, {"name": "n"}, [3], "2026-01-02"]


@pytest.mark.parametrize("variables", [{"not a name": 1}, {"class": 1}, {"SUBMIT": 1}, {"x": object()}])
def test_variable_that_cannot_be_is_refused_and_the_interpreter_goes_on(
    shared: SandboxInterpreter, variables: dict[str, Any]
) -> None:
    with pytest.raises(CodeInterpreterError):
        shared("1", variables)
    assert shared("1") == 1


def test_large_variable_is_sent_once() -> None:
    context = "x" * 20_000_000
    with SandboxInterpreter() as interpreter:
        assert interpreter("len(context)", {"context": context}) == 20_000_000
        assert interpreter("len(context)", {"context": context}) == 20_000_000
        assert list(interpreter._sent) == ["context"]


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("SUBMIT('a', 2)", {"answer": "a", "count": 2}),
        ("SUBMIT(count=2, answer='a')", {"answer": "a", "count": 2}),
        ("SUBMIT('a', count=2)", {"answer": "a", "count": 2}),
        ("SUBMIT(None, {'x': (1, {2})})", {"answer": None, "count": {"x": [1, "{2}"]}}),
        ("SUBMIT('a', 2)\nraise ValueError", {"answer": "a", "count": 2}),
        ("print('x')\nSUBMIT('ü', '\\ud800')", {"answer": "ü", "count": "\ud800"}),
    ],
)
def test_submit_is_the_final_output(call: str, fields: dict[str, Any]) -> None:
    with SandboxInterpreter(output_fields=[{"name": "answer", "type": "str"}, {"name": "count"}]) as interpreter:
        assert interpreter(call) == FinalOutput(fields)
        assert interpreter("1") == 1


@pytest.mark.parametrize("call", ["SUBMIT()", "SUBMIT(1, 2)", "SUBMIT(other=1)", "SUBMIT(1, output=1)"])
def test_submit_with_other_fields_is_an_error_of_the_code(shared: SandboxInterpreter, call: str) -> None:
    with pytest.raises(CodeExecutionError, match="SUBMIT takes exactly these fields"):
        shared(call)


def test_submit_without_fields_takes_one_value_of_any_size(shared: SandboxInterpreter) -> None:
    assert shared("SUBMIT('ab' * 3_000_000)") == FinalOutput({"output": "ab" * 3_000_000})


def test_cell_that_does_not_end_after_submit_is_not_final() -> None:
    with SandboxInterpreter(timeout=1) as interpreter:
        with pytest.raises(CodeExecutionError, match="timeout"):
            interpreter("try: SUBMIT(1)\nexcept BaseException:\n    while True: pass")
        assert interpreter("2") == 2


def test_tools_run_here_by_name_and_by_position() -> None:
    scope: contextvars.ContextVar[str] = contextvars.ContextVar("scope")
    scope.set("of the caller")

    def look(name: str, times: int = 1, *, mark: str = "!") -> dict[str, Any]:
        return {"said": name * times + mark, "scope": scope.get()}

    def only_named(**fields: int) -> int:
        return sum(fields.values())

    async def wait(seconds: float) -> float:
        return seconds

    def none() -> None:
        return None

    tools: dict[str, Callable[..., Any]] = {"look": look, "only_named": only_named, "wait": wait, "none": none}
    tools["many"] = lambda *parts: list(parts)
    with SandboxInterpreter(tools) as interpreter:
        assert interpreter("look('a', times=2)['said'] + look('b', 1, mark='?')['said']") == "aa!b?"
        assert interpreter("look('a')['scope']") == "of the caller"
        assert interpreter("[only_named(a=1, b=2), wait(0.5), none(), many(1, 'x')]") == [3, 0.5, None, [1, "x"]]


async def test_async_tool_runs_also_inside_a_running_loop() -> None:
    async def double(n: int) -> int:
        return 2 * n

    with SandboxInterpreter({"double": double}) as interpreter:
        assert interpreter("double(4)") == 8


def test_tools_that_come_later_are_there_and_those_that_go_are_gone(shared: SandboxInterpreter) -> None:
    shared.tools["late"] = lambda: "here"
    assert shared("late()") == "here"
    shared("late = SUBMIT = None")
    assert shared("late()") == "here"
    del shared.tools["late"]
    with pytest.raises(CodeExecutionError, match="NameError"):
        shared("late()")


def test_tool_that_fails_raises_in_the_cell_and_can_be_caught(shared: SandboxInterpreter) -> None:
    def fail() -> None:
        raise LookupError("nothing here")

    shared.tools["fail"] = fail
    with pytest.raises(CodeExecutionError, match="RuntimeError: LookupError: nothing here"):
        shared("fail()")
    assert shared("try: fail()\nexcept RuntimeError as e: print(e)") == "LookupError: nothing here"


def test_result_of_a_tool_is_json_or_its_text(shared: SandboxInterpreter) -> None:
    class Model(BaseModel):
        n: int

    class Opaque:
        def __str__(self) -> str:
            return "opaque"

    shared.tools["make"] = lambda what: {"model": [Model(n=1)], "opaque": Opaque()}[what]
    assert shared("[make('model'), make('opaque')]") == [[{"n": 1}], "opaque"]


def test_code_that_forges_a_call_gets_an_error(shared: SandboxInterpreter) -> None:
    for payload in ("{}", '{"name": "exec", "positional": [], "named": {}}', "["):
        with pytest.raises(CodeExecutionError, match="RuntimeError"):
            shared(f"import sandbox; sandbox.call('client.tool', {payload!r})")


def test_tool_that_executes_in_the_same_interpreter_is_refused(shared: SandboxInterpreter) -> None:
    shared.tools["again"] = lambda: shared("1")
    with pytest.raises(CodeExecutionError, match="running a cell"):
        shared("again()")


def test_interrupt_of_a_tool_leaves_the_session_usable(shared: SandboxInterpreter) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    shared.tools["interrupt"] = interrupt
    shared("state = 1")
    with pytest.raises(KeyboardInterrupt):
        shared("state = 2\ninterrupt()")
    assert shared("state") == 1


def test_lost_session_ends_the_interpreter_and_is_never_an_empty_one() -> None:
    interpreter = SandboxInterpreter()
    interpreter("x = 1")
    delete_session(interpreter.session_id)
    with pytest.raises(CodeInterpreterError, match="lost the session") as raised:
        interpreter("'x' in globals()")
    assert not isinstance(raised.value, CodeExecutionError)
    for use in (interpreter.start, lambda: interpreter("1")):
        with pytest.raises(CodeInterpreterError, match="has ended; make a new one"):
            use()


def test_sandbox_that_is_away_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(CodeInterpreterError, match="WASM_SERVICE_URL"):
        SandboxInterpreter(wasm_service_url="http://127.0.0.1:9").start()


def test_shutdown_ends_the_session_and_may_be_repeated() -> None:
    interpreter = SandboxInterpreter()
    interpreter.start()
    interpreter.start()
    assert session_exists(interpreter.session_id)
    interpreter.shutdown()
    interpreter.shutdown()
    assert not session_exists(interpreter.session_id)
    with pytest.raises(CodeInterpreterError, match="shut down"):
        interpreter("1")
