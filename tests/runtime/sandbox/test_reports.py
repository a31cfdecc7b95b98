"""What processes say about themselves: the messages of our own are taken, anything else is refused and never raises."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.sandbox.reports import ForgedReportError, parse_report

USED: Final[dict[str, object]] = {"ran": 0.5, "cpu": 0, "memory": 1 << 27}
PAUSE: Final[dict[str, object]] = {**USED, "forked": 0.001}
RAW: Final[dict[str, object]] = {"raw_stdout": "\0", "raw_stdout_truncated": True, "raw_stderr": "e"}
GOOD: Final[tuple[dict[str, object], ...]] = (
    {"t": "ready", "missing": []},
    {"t": "ready", "missing": ["Landlock: not offered by this kernel"]},
    {"t": "hello", "memory": 1 << 24},
    {"t": "hello", "memory": 1 << 24, "worker": 4711},
    {"t": "promoted", "cell": 3, "epoch": 1, "begun": 7},
    {"t": "died", "kind": "exit", "detail": "the guest called exit(1)", **USED},
    {"t": "call", **PAUSE, **RAW},
    {"t": "done", "answer": 5, **PAUSE},
)
DONE: Final = GOOD[-1]
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def message(head: object, body: bytes = b"") -> bytearray:
    return bytearray(json.dumps(head).encode() + b"\n" + body)


@pytest.mark.parametrize("head", GOOD)
def test_what_our_processes_say_is_taken_as_it_is(head: dict[str, object]) -> None:
    assert parse_report(message(head, b"body\nof two lines")) == (head, bytearray(b"body\nof two lines"))


@pytest.mark.parametrize(
    "head",
    [
        None,
        [],
        {},
        {"t": "spawn"},
        {"t": ["hello"]},
        {"t": "hello", "memory": 1, "pid": 1},
        {"t": "hello", "memory": 1, "worker": -1},
        {"t": "hello", "memory": 1, "worker": 1 << 30},
        {"t": "promoted"},
        {"t": "promoted", "cell": 1},
        {"t": "promoted", "cell": 1, "epoch": 1},
        {"t": "promoted", "cell": 1, "epoch": 1, "begun": -1},
        {"t": "promoted", "cell": 1, "epoch": None, "begun": 1},
        {"t": "promoted", "cell": 1, "epoch": "1", "begun": 1},
        {"t": "promoted", "cell": -1, "epoch": 1, "begun": 1},
        {"t": "promoted", "cell": 1.5, "epoch": 1, "begun": 1},
        {"t": "promoted", "cell": 10**400, "epoch": 1, "begun": 1},
        {"t": "died", "kind": "k" * 21, "detail": "", **USED},
        {"t": "died", "kind": "k", "detail": "d" * 301, **USED},
        {"t": "ready", "missing": "all"},
        {"t": "ready", "missing": [""] * 101},
        {"t": "done", **PAUSE},
        {**DONE, "answer": -1},
        {**DONE, "ran": -0.1},
        {**DONE, "ran": float("nan")},
        {**DONE, "ran": float("inf")},
        {**DONE, "ran": 1e300},
        {**DONE, "cpu": [1]},
        {**DONE, "memory": 1 << 60},
        {**DONE, "forked": "0"},
        {**DONE, "raw_stdout": "\ud800"},
        {**DONE, "raw_stdout": 5},
        {**DONE, "raw_stderr_truncated": 1},
        {**DONE, "status": "ok"},
    ],
)
def test_a_head_of_another_shape_is_forged(head: object) -> None:
    with pytest.raises(ForgedReportError):
        parse_report(message(head))


@pytest.mark.parametrize("data", [b"", b"\n", b"{", b"\xff\n", b"[" * 100_000, b'{"t": "hello"', b"1" * 10_000])
def test_what_is_no_json_is_forged(data: bytes) -> None:
    with pytest.raises(ForgedReportError):
        parse_report(bytearray(data))


def test_the_problem_names_the_field_and_not_what_it_holds() -> None:
    with pytest.raises(ForgedReportError) as raised:
        parse_report(message({**DONE, "ran": "a secret of the guest"}))
    assert str(raised.value) == "done.ran: float_type"


@given(st.binary() | JSON.map(message))
def test_no_bytes_raise_anything_else(data: bytes | bytearray) -> None:
    try:
        head, _ = parse_report(bytearray(data))
    except ForgedReportError:
        return
    assert head["t"]


@given(st.sampled_from(GOOD), st.sampled_from(sorted({key for head in GOOD for key in head})), JSON)
def test_a_field_of_any_value_is_refused_or_has_the_type_that_the_server_counts_on(
    head: dict[str, object], key: str, value: Any
) -> None:
    try:
        parsed, _ = parse_report(message({**head, key: value}))
    except ForgedReportError:
        return
    numbers = [parsed[name] for name in ("ran", "cpu", "memory", "forked", "answer", "epoch", "cell") if name in parsed]
    assert all(isinstance(number, int | float) and 0 <= number < 1e18 for number in numbers)
    for name in ("raw_stdout", "raw_stderr"):
        parsed.get(name, "").encode()
