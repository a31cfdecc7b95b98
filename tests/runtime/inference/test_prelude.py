"""The REPL contract, run here with a stand-in for the guest's `sandbox` module: no WASM, just its rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from runtime.inference.opening import read_prelude

CONTRACT = {
    "context",
    "history",
    "answer",
    "SHOW_VARS",
    "llm_query",
    "llm_query_batched",
    "rlm_query",
    "rlm_query_batched",
    "FINAL",
    "FINAL_VAR",
    "SUBMIT",
}


class StopCell(BaseException):
    pass


class StandInGuest:
    """What `sandbox` is to the prelude: `call` answers at once from `answers`, hooks run when a cell ends."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.calls: list[dict[str, Any]] = []
        self.functions: list[str] = []
        self.hooks: list[Callable[[], None]] = []
        self.begin: object = None  # the prelude's, which is there only once
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def module(self) -> ModuleType:
        module = ModuleType("sandbox")
        module.__dict__.update(call=self._call, emit=self._emit, stop=self._stop, after_cell=self.hooks.append)
        return module

    def _call(self, name: str, payload: str) -> str:
        assert name in {"llm_query", "rlm_query"}
        self.functions.append(name)
        self.calls.append(json.loads(payload))
        return json.dumps({"answers": [f"re: {prompt}" for prompt in self.calls[-1]["prompts"]]})

    def _emit(self, name: str, payload: str) -> None:
        self.events.append((name, payload))

    def _stop(self) -> None:
        raise StopCell

    def run(self, code: str) -> None:
        try:
            exec(compile(code, "<cell>", "exec"), self.names)  # noqa: S102  # the prelude is code by nature
        except StopCell:
            pass
        finally:
            for hook in self.hooks:
                hook()

    @property
    def final(self) -> str | None:
        is_final = any(name == "rlm.final" for name, _ in self.events)
        return self.names["__rlm_final__"] if is_final else None


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInGuest]:
    stand_in = StandInGuest()
    monkeypatch.setitem(sys.modules, "sandbox", stand_in.module())
    stand_in.run(read_prelude())
    stand_in.names["context"] = "some context"
    stand_in.names["history"] = []
    stand_in.begin = stand_in.names["__rlm_begin__"]
    stand_in.run("__rlm_begin__(0)")
    yield stand_in
    sys.modules.pop("sandbox", None)


def test_prelude_leaves_only_the_contract_in_the_namespace(guest: StandInGuest) -> None:
    assert {name for name in guest.names if not name.startswith("__")} == CONTRACT


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_reserved_name_that_was_overwritten_is_restored(guest: StandInGuest, name: str) -> None:
    before = guest.names[name]
    guest.run(f"{name} = 5")
    assert guest.names[name] is before
    guest.run(f"del {name}")
    assert guest.names[name] is before


def test_overwriting_a_reserved_name_is_said_on_stderr(guest: StandInGuest, capsys: pytest.CaptureFixture[str]) -> None:
    guest.run("context = context[:3]")
    assert "`context` is reserved" in capsys.readouterr().err


@pytest.mark.parametrize(
    "code",
    [
        "answer['content'] = 'x'; answer['ready'] = True",
        "answer.update(content='x', ready=True)",
        "answer = {'content': 'x', 'ready': True}",
        "answer = dict(content='x', ready=1)",
        "FINAL('x')",
        "FINAL('x'); FINAL('y')",
        "v = 'x'\nFINAL_VAR('v')",
        "v = 'x'\nFINAL_VAR(\"'v'\")",
        "SUBMIT('x')",
        "SUBMIT(answer='x')",
        "try:\n    FINAL('x')\nexcept BaseException:\n    pass\nFINAL('y')",
    ],
)
def test_each_way_to_finish_gives_the_answer(guest: StandInGuest, code: str) -> None:
    guest.run(code)
    assert guest.final == "x"


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("FINAL(42)", "42"),
        ("FINAL([1, 'a'])", "[1, 'a']"),
        ("FINAL(None)", "None"),
        ("answer.update(content=[1, 2], ready=True)", "[1, 2]"),
        ("answer.update(content=7, ready=True)", "7"),
        ("SUBMIT(a=1, b='two')", '{"a": 1, "b": "two"}'),
        ("SUBMIT(1, 2)", "[1, 2]"),
        ("FINAL('bad \\ud800 surrogate')", "bad ? surrogate"),
    ],
)
def test_values_that_are_no_text_become_text(guest: StandInGuest, code: str, answer: str) -> None:
    guest.run(code)
    assert guest.final == answer


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("FINAL()", "FINAL needs exactly one value"),
        ("FINAL('')", "FINAL needs exactly one value"),
        ("FINAL(1, 2)", "FINAL needs exactly one value"),
        ("SUBMIT()", "SUBMIT needs a value"),
        ("answer['ready'] = True", "content"),
        ("total = 3\nFINAL_VAR('totl')", "total: int"),
    ],
)
def test_incomplete_finish_goes_on_and_says_why(
    guest: StandInGuest, capsys: pytest.CaptureFixture[str], code: str, said: str
) -> None:
    guest.run(code)
    assert guest.final is None
    assert said in capsys.readouterr().err


def test_ready_that_is_set_in_a_failing_cell_counts(guest: StandInGuest) -> None:
    with pytest.raises(ZeroDivisionError):
        guest.run("answer.update(content='x', ready=True)\n1/0")
    assert guest.final == "x"


def test_content_without_ready_is_told_as_partial_answer(guest: StandInGuest) -> None:
    guest.run("answer['content'] = 'so far'")
    guest.run("pass")
    assert guest.events == [("rlm.answer", "so far")]
    assert guest.final is None


def test_llm_query_sends_one_prompt_and_returns_its_answer(guest: StandInGuest) -> None:
    guest.run("a = llm_query('q')\nb = rlm_query('r', model='m')\nc = llm_query(5)")
    assert guest.names["a"] == "re: q"
    assert guest.calls == [
        {"prompts": ["q"], "model": None},
        {"prompts": ["r"], "model": "m"},
        {"prompts": ["5"], "model": None},
    ]
    assert guest.functions == ["llm_query", "rlm_query", "llm_query"]


def test_llm_query_batched_keeps_length_and_order(guest: StandInGuest) -> None:
    guest.run(
        "a = llm_query_batched(f'q{i}' for i in range(3))\nb = rlm_query_batched(['x'])\nc = llm_query_batched([])"
    )
    assert guest.names["a"] == ["re: q0", "re: q1", "re: q2"]
    assert guest.names["b"] == ["re: x"]
    assert guest.names["c"] == []
    assert len(guest.calls) == 2


def test_large_batch_goes_in_parts_and_keeps_its_order(guest: StandInGuest) -> None:
    guest.run("a = llm_query_batched([str(i) + 'x' * 4_000_000 for i in range(5)])")
    assert [answer[:5] for answer in guest.names["a"]] == [f"re: {index}" for index in range(5)]
    assert [len(call["prompts"]) for call in guest.calls] == [2, 2, 1]
    guest.calls.clear()
    guest.run("b = llm_query_batched([str(i) for i in range(10_001)])")
    assert guest.names["b"] == [f"re: {index}" for index in range(10_001)]
    assert [len(call["prompts"]) for call in guest.calls] == [5000, 5000, 1]


@pytest.mark.parametrize("character", ["x", "\u00e4", "\U0001f600", "\x01"])
def test_prompt_beyond_the_largest_call_is_an_error_string_in_its_slot(guest: StandInGuest, character: str) -> None:
    guest.names["large"] = character * 17_000_000
    guest.run("a = llm_query_batched(['p', large, 'q'])")
    assert guest.names["a"] == ["re: p", "Error: the prompt is larger than 16 MiB", "re: q"]


def test_llm_query_batched_refuses_a_single_string(guest: StandInGuest) -> None:
    with pytest.raises(TypeError, match="use llm_query"):
        guest.run("llm_query_batched('abc')")


def test_show_vars_names_the_users_variables_only(guest: StandInGuest) -> None:
    guest.run("import re\nn = 1\nwords = []\n_hidden = 2\nshown = SHOW_VARS()")
    assert guest.names["shown"] == "n: int\nwords: list"


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("FINAL({'a': [1, None]})", '{"a": [1, null]}'),
        ("x = (1, 'ä')\nFINAL_VAR('x')", '[1, "ä"]'),
        ("answer.update(content=True, ready=True)", "true"),
        ("FINAL('[1]')", "[1]"),
        ("SUBMIT(a=1, b=2)", '{"a": 1, "b": 2}'),
        ("FINAL({'when': {1}})", '{"when": "{1}"}'),
    ],
)
def test_value_becomes_json_where_the_answer_has_a_schema(guest: StandInGuest, code: str, answer: str) -> None:
    guest.names["__rlm_begin__"] = guest.begin
    guest.run("__rlm_begin__(0, True)")
    guest.run(code)
    assert guest.final == answer


def test_answer_that_did_not_count_can_be_given_anew(guest: StandInGuest) -> None:
    guest.run("answer.update(content='first', ready=True)")
    guest.run("__rlm_reopen__()")
    guest.events.clear()
    guest.run("pass")
    assert guest.final is None
    guest.run("FINAL('second')")
    assert guest.final == "second"


@pytest.mark.parametrize(("pieces", "whole"), [(["ab", "c"], "abc"), ([[1], [2, 3]], [1, 2, 3])])
def test_context_that_came_in_pieces_is_joined(
    monkeypatch: pytest.MonkeyPatch, pieces: list[object], whole: object
) -> None:
    stand_in = StandInGuest()
    monkeypatch.setitem(sys.modules, "sandbox", stand_in.module())
    stand_in.run(read_prelude())
    stand_in.names.update({f"__rlm_piece_{index}": piece for index, piece in enumerate(pieces)})
    stand_in.run("__rlm_begin__(2)")
    assert stand_in.names["context"] == whole
    assert not any(name.startswith("__rlm_piece") for name in stand_in.names)
