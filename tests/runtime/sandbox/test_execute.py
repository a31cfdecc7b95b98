"""POST /execute: what a cell does and what its reply says."""

from __future__ import annotations

import asyncio

import pytest

from runtime.wire import ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, new_id


async def test_the_issues_example_prints_and_is_remembered(client: SandboxClient) -> None:
    session = new_id()
    first = await client.execute("x = 40 + 2\nprint(x)", session, timeout=30)
    assert (first.status, first.stdout, first.created, first.cell) == (Status.OK, "42\n", True, 1)
    assert (first.locals["x"].type, first.locals["x"].repr) == ("int", "42")
    assert 0 < first.execution_time < 30
    second = await client.execute("x + 1", session)
    assert (second.result, second.created, second.cell) == ("43", False, 2)


async def test_without_a_session_id_the_session_is_fresh_and_discarded(client: SandboxClient) -> None:
    first = await client.execute("x = 1")
    assert first.created
    assert len(first.session_id) == 32
    second = await client.execute("'x' in globals()")
    assert second.result == "False"
    assert second.session_id != first.session_id
    error = await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "GET", f"/sessions/{first.session_id}")
    assert first.session_id in error.message


async def test_an_unknown_id_with_create_false_is_404_and_nothing_is_made(client: SandboxClient) -> None:
    body = {"code": "1", "session_id": new_id(), "create": False}
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", "/execute", json=body)
    await client.refused(404, ErrorCode.SESSION_NOT_FOUND, "POST", "/execute", json=body)


async def test_a_trailing_expression_is_the_result_and_none_is_no_result(client: SandboxClient) -> None:
    assert (await client.execute("[1, 'a']")).result == "[1, 'a']"
    assert (await client.execute("None")).result is None
    assert (await client.execute("x = 1")).result is None
    assert (await client.execute("")).status is Status.OK


async def test_an_exception_is_an_error_with_type_message_and_line_and_keeps_what_was_assigned(
    client: SandboxClient,
) -> None:
    session = new_id()
    reply = await client.execute("a = 1\nraise ValueError('no good')\na = 2", session)
    assert reply.status is Status.ERROR
    assert reply.error is not None
    assert (reply.error.type, reply.error.message, reply.error.line) == ("ValueError", "no good", 2)
    assert "ValueError: no good" in reply.stderr
    assert not reply.rolled_back
    assert (await client.execute("a", session)).result == "1"


async def test_a_syntax_error_names_its_line(client: SandboxClient) -> None:
    reply = await client.execute("x = 1\nif x\n    pass")
    assert reply.status is Status.ERROR
    assert reply.error is not None
    assert (reply.error.type, reply.error.line) == ("SyntaxError", 2)


async def test_an_error_inside_a_called_function_names_the_line_of_this_cell(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("def f():\n    return 1 / 0", session)
    reply = await client.execute("x = 1\n\nf()", session)
    assert reply.error is not None
    assert (reply.error.type, reply.error.line) == ("ZeroDivisionError", 3)
    assert "return 1 / 0" in reply.stderr


async def test_functions_classes_generators_and_imports_live_on(client: SandboxClient) -> None:
    session = new_id()
    await client.execute(
        "import math\ndef f(n): return n * 2\nclass C:\n    v = 5\ng = (i for i in range(9))\nnext(g)", session
    )
    reply = await client.execute("f(4), C().v, next(g), math.floor(2.5)", session)
    assert reply.result == "(8, 5, 1, 2)"


async def test_stdout_and_stderr_are_apart_and_only_of_this_cell(client: SandboxClient) -> None:
    session = new_id()
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)"
    for _ in range(2):
        reply = await client.execute(code, session)
        assert (reply.stdout, reply.stderr) == ("out\n", "err\n")
        assert not reply.stdout_truncated


async def test_locals_summary_values_and_none(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("n = 1\ns = 'é'\nd = {'a': [1.5, None, True]}\no = object()\n_hidden = 1\nimport os", session)
    summary = (await client.execute("", session)).locals
    assert {name: local.type for name, local in summary.items()} == {"n": "int", "s": "str", "d": "dict", "o": "object"}
    assert "value" not in summary["n"].model_fields_set
    values = (await client.execute("", session, locals="values")).locals
    assert (values["n"].value, values["s"].value, values["d"].value) == (1, "é", {"a": [1.5, None, True]})
    assert "value" not in values["o"].model_fields_set
    assert (await client.execute("", session, locals="none")).locals == {}


async def test_the_value_none_is_told_from_an_absent_value(client: SandboxClient) -> None:
    locals_ = (await client.execute("a = None\nb = {1, 2}", locals="values")).locals
    assert "value" in locals_["a"].model_fields_set
    assert "value" not in locals_["b"].model_fields_set


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("float('nan')", "not JSON"),
        ("float('inf')", "not JSON"),
        ("{1: 2}", "a key that is no str"),
        ("(1, 2)", "a tuple would come back as a list"),
        ("b'bytes'", "no JSON form"),
        ("'\\ud800'", "a lone surrogate"),
        ("{'\\udfff': 1}", "a lone surrogate in a key"),
        ("[[0]] * 10**6", "too many parts"),
        ("'x' * 10**6", "too large"),
        ("10 ** 5000", "too many digits"),
        ("__import__('functools').reduce(lambda x, _: [x], range(500), [])", "too deep"),
        ("(lambda x: x.append(x) or x)([])", "contains itself"),
        ("type('D', (dict,), {})()", "a subclass"),
        ("True.__class__", "a class"),
    ],
)
async def test_a_value_that_is_not_exactly_json_is_left_out_and_the_cell_is_ok(
    client: SandboxClient, expression: str, reason: str
) -> None:
    reply = await client.execute(f"v = {expression}\nw = 1", locals="values")
    assert reply.status is Status.OK, reply.error
    assert "value" not in reply.locals["v"].model_fields_set, reason
    assert reply.locals["w"].value == 1


async def test_a_value_nested_a_hundred_deep_or_less_is_given_whole(client: SandboxClient) -> None:
    reply = await client.execute("v = []\nfor _ in range(90): v = [v]", locals="values")
    value, depth = reply.locals["v"].value, 0
    while value:
        (value,), depth = value, depth + 1
    assert depth == 90


async def test_emitted_events_come_apart_from_stdout_and_once(client: SandboxClient) -> None:
    session = new_id()
    reply = await client.execute("import sandbox\nsandbox.emit('a', '1')\nsandbox.emit('b', 'é')\nprint('x')", session)
    assert [(event.name, event.payload) for event in reply.events] == [("a", "1"), ("b", "é")]
    assert reply.stdout == "x\n"
    assert (await client.execute("", session)).events == []


async def test_stop_ends_a_cell_as_ok(client: SandboxClient) -> None:
    reply = await client.execute("import sandbox\nx = 1\nsandbox.stop()\nx = 2")
    assert (reply.status, reply.locals["x"].repr, reply.error) == (Status.OK, "1", None)


async def test_after_cell_runs_at_the_end_of_every_cell_also_of_one_that_raised(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("import sandbox\nseen = []\n@sandbox.after_cell\ndef hook(): seen.append(len(seen))", session)
    await client.execute("1 / 0", session)
    assert (await client.execute("seen", session)).result == "[0, 1]"


async def test_the_same_request_id_gets_the_last_reply_again_and_runs_nothing(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("n = 0", session)
    first = await client.execute("n += 1\nn", session, request_id="r1")
    again = await client.execute("n += 1\nn", session, request_id="r1")
    assert again == first
    assert (await client.execute("n", session, request_id="r2")).result == "1"


async def test_a_request_id_of_another_session_is_not_replayed(client: SandboxClient) -> None:
    first = await client.execute("'first'", new_id(), request_id="shared")
    second = await client.execute("'second'", new_id(), request_id="shared")
    assert (first.result, second.result) == ("'first'", "'second'")


async def test_a_timeout_above_the_pools_is_capped_not_refused(client: SandboxClient) -> None:
    assert (await client.execute("1", timeout=10**6)).status is Status.OK


async def test_memory_and_cpu_are_reported(client: SandboxClient) -> None:
    session = new_id()
    small = await client.execute("x = sum(range(200_000))", session)
    large = await client.execute("y = bytes(60_000_000)", session)
    assert 0 < small.cpu_time <= small.execution_time * 1.5
    assert large.memory_bytes - small.memory_bytes > 50_000_000


async def test_the_main_module_is_the_session(client: SandboxClient) -> None:
    reply = await client.execute("import __main__\nx = 5\n(__name__, __main__.x)")
    assert reply.result == "('__main__', 5)"


async def test_pickle_and_dataclasses_work_on_classes_of_a_cell(client: SandboxClient) -> None:
    code = "import dataclasses, pickle\n@dataclasses.dataclass\nclass P:\n    x: int\npickle.loads(pickle.dumps(P(3)))"
    assert (await client.execute(code)).result == "P(x=3)"


async def test_asyncio_runs_in_a_cell(client: SandboxClient) -> None:
    code = (
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(0.001)\n    return n\n"
        "async def main():\n    return await asyncio.gather(f(1), f(2))\nasyncio.run(main())"
    )
    assert (await client.execute(code)).result == "[1, 2]"


async def test_files_in_tmp_are_the_sessions_own_and_roll_back_with_it(client: SandboxClient) -> None:
    session = new_id()
    await client.execute("open('/tmp/a', 'w').write('first')", session)
    reply = await client.execute("open('/tmp/a', 'w').write('second')\nwhile True: pass", session, timeout=0.3)
    assert reply.status is Status.TIMEOUT
    assert (await client.execute("open('/tmp/a').read()", session)).result == "'first'"
    assert (await client.execute("import os; os.path.exists('/tmp/a')")).result == "False"


async def test_a_checkpoint_leaves_the_sessions_own_names_and_objects_alone(client: SandboxClient) -> None:
    """After a checkpoint the head warms itself up; that must not run code or touch names of the session."""
    session = new_id()
    code = "shown = []\nclass Shy:\n    def __repr__(self): shown.append(1); return 'shy'\nshy = Shy()\n_f = 1"
    await client.execute(code, session, locals="none")
    await asyncio.sleep(0.2)  # the warm-up is over long before
    assert (await client.execute("shown, _f", session, locals="none")).result == "([], 1)"
