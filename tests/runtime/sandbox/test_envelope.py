"""What a guest says is checked: anything that is not our loop's shape is refused whole."""

from __future__ import annotations

import json

import pytest

from runtime.sandbox.envelope import (
    MAX_CALL_BYTES,
    MAX_EVENT_BYTES,
    MAX_EVENTS,
    MAX_LOCALS,
    MAX_LOCALS_BYTES,
    MAX_NAME,
    MAX_VALUES,
    ForgedEnvelopeError,
    parse_answer,
    parse_call,
    parse_get,
    parse_put,
)

GOOD: dict[str, object] = {
    "status": "ok",
    "result": "1",
    "error": None,
    "locals": {"x": {"type": "int", "repr": "1"}},
    "stdout": "out",
    "stderr": "",
    "stdout_truncated": False,
    "stderr_truncated": False,
    "events": [{"name": "n", "payload": "p"}],
}


def answer(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_the_loops_answer_is_taken_as_it_is() -> None:
    parsed = parse_answer(answer())
    assert (parsed.status, parsed.result, parsed.stdout) == ("ok", "1", "out")
    assert "value" not in parsed.locals["x"].model_fields_set


def test_fields_that_are_not_the_guests_to_say_are_ignored() -> None:
    parsed = parse_answer(answer(session_id="other", rolled_back=True, execution_time=0, cell=99, status="error"))
    assert not {"session_id", "rolled_back", "execution_time", "cell"} & set(parsed.model_dump())


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "timeout"},
        {"status": "suspended"},
        {"status": 1},
        {"stdout": 5},
        {"stdout": None},
        {"stdout_truncated": "yes"},
        {"result": "x" * 21_001},
        {"result": ["a"]},
        {"locals": []},
        {"locals": {"x": {"type": "int"}}},
        {"locals": {"x": {"type": "int", "repr": "r" * 401}}},
        {"locals": {"x": {"type": "t" * 201, "repr": ""}}},
        {"locals": {"n" * (MAX_NAME + 1): {"type": "", "repr": ""}}},
        {"locals": {"x": {"type": "", "repr": "", "value": "v" * MAX_LOCALS_BYTES}}},
        {"locals": {"x": {"type": "", "repr": "", "value": [0] * MAX_VALUES}}},
        {"unknown": [[]] * MAX_VALUES},
        {"locals": {str(number): {"type": "", "repr": ""} for number in range(MAX_LOCALS + 1)}},
        {"events": [{"name": "n" * 65, "payload": ""}]},
        {"events": [{"name": "n"}]},
        {"events": [{"name": "", "payload": ""}] * (MAX_EVENTS + 1)},
        {"events": [{"name": "n", "payload": "p" * (MAX_EVENT_BYTES // 2)}] * 3},
        {"error": {"type": "E", "message": "m" * 2_101}},
        {"events": [{"name": "n", "payload": "\0" * (MAX_EVENT_BYTES // 6)}] * 2},
        {"error": {"type": "E", "message": "m", "line": "1"}},
        {"error": {"type": "E", "message": "m", "line": 10**400}},
        {"error": "broken"},
    ],
)
def test_an_answer_of_another_shape_is_forged(changes: dict[str, object]) -> None:
    with pytest.raises(ForgedEnvelopeError):
        parse_answer(answer(**changes))


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"status": "ok", "stdout": "\\ud800"}']
)
def test_what_is_no_json_object_is_forged(body: bytes) -> None:
    for parse in (parse_answer, parse_call, parse_put, parse_get):
        with pytest.raises(ForgedEnvelopeError):
            parse(body)


def test_a_value_nested_too_deeply_is_forged() -> None:
    nested = b'{"status": "ok", "locals": {"x": {"type": "", "repr": "", "value": ' + b"[" * 300 + b"]" * 300 + b"}}}"
    with pytest.raises(ForgedEnvelopeError):
        parse_answer(nested)


def test_a_call_has_a_name_and_a_payload_within_the_cap() -> None:
    assert parse_call(b'{"name": "n", "payload": "p", "stdout": "before"}').stdout == "before"
    for body in ('{"name": "n"}', '{"payload": "p"}', json.dumps({"name": "n" * 129, "payload": ""})):
        with pytest.raises(ForgedEnvelopeError):
            parse_call(body.encode())
    with pytest.raises(ForgedEnvelopeError):
        parse_call(json.dumps({"name": "n", "payload": "x" * (MAX_CALL_BYTES + 1)}).encode())
    with pytest.raises(ForgedEnvelopeError):
        parse_call(json.dumps({"name": "n", "payload": "é" * (MAX_CALL_BYTES // 2 + 1)}).encode())


def test_put_and_get_have_their_own_words() -> None:
    assert parse_put(b'{"status": "ok", "type": "str", "length": 3}').length == 3
    assert parse_get(b'{"status": "ok", "kind": "json"}').kind == "json"
    for body in (b'{"status": "missing"}', b'{"status": "ok", "length": "3"}'):
        with pytest.raises(ForgedEnvelopeError):
            parse_put(body)
    with pytest.raises(ForgedEnvelopeError):
        parse_get(b'{"status": "ok", "kind": "html"}')
