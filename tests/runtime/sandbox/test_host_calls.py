"""Host calls: the cell suspends, the caller answers, the cell goes on."""

from __future__ import annotations

import asyncio

import pytest

from runtime.wire import CellReply, ErrorCode, HostCall, Status
from tests.runtime.sandbox.client import SandboxClient, new_id


async def session_with_ask(client: SandboxClient, **fields: object) -> str:
    return (await client.create(host_functions=["ask"], **fields)).session_id


def call_of(reply: CellReply) -> HostCall:
    assert reply.status is Status.SUSPENDED, reply.error
    assert reply.call is not None
    return reply.call


async def test_a_call_suspends_with_name_and_payload_and_its_answer_is_the_value(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    reply = await client.execute("import sandbox\nx = sandbox.call('ask', 'whät?')\nx", session)
    call = call_of(reply)
    assert (call.name, call.payload, len(call.id)) == ("ask", "whät?", 32)
    done = await client.resume(session, call.id, result="thät")
    assert (done.status, done.result, done.cell) == (Status.OK, "'thät'", reply.cell)


async def test_the_function_by_its_name_takes_arguments_as_json(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("ask(1, 'a', key=[2])", session))
    assert call.payload == '{"args": [1, "a"], "kwargs": {"key": [2]}}'


async def test_an_error_is_raised_in_the_cell_as_runtimeerror(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("try:\n    ask()\nexcept RuntimeError as e:\n    x = str(e)\nx", session))
    assert (await client.resume(session, call.id, error="no model")).result == "'no model'"


async def test_each_reply_has_only_what_is_new_and_the_last_the_times_of_the_whole_cell(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    code = (
        "import sandbox\nprint('a')\nsandbox.emit('e', '1')\nsum(range(10**6))\nask()\n"
        "print('b')\nsandbox.emit('e', '2')\nask()\nprint('c')"
    )
    first = await client.execute(code, session)
    second = await client.resume(session, call_of(first).id, result="")
    third = await client.resume(session, call_of(second).id, result="")
    assert [reply.stdout for reply in (first, second, third)] == ["a\n", "b\n", "c\n"]
    assert [[e.payload for e in reply.events] for reply in (first, second, third)] == [["1"], ["2"], []]
    assert third.execution_time >= second.execution_time >= first.execution_time > 0
    assert third.cpu_time >= first.cpu_time > 0


async def test_a_call_in_a_loop_suspends_as_often_as_it_is_made(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    reply = await client.execute("[ask(i) for i in range(5)]", session)
    for number in range(5):
        reply = await client.resume(session, call_of(reply).id, result=str(number))
    assert reply.result == "['0', '1', '2', '3', '4']"


async def test_a_suspended_session_refuses_cells_and_variables_and_keeps_its_call(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("ask()", session))
    await client.refused(409, ErrorCode.BUSY, "POST", "/execute", json={"code": "1", "session_id": session})
    assert (await client.put_raw(session, "x", b"1")).error().code is ErrorCode.BUSY
    assert (await client.get(session, "x")).error().code is ErrorCode.BUSY
    assert (await client.resume(session, call.id, result="")).status is Status.OK


@pytest.mark.parametrize("call_id", ["0" * 32, "", "é" * 32, "x" * 10_000])
async def test_a_wrong_call_id_is_409_and_the_right_one_still_works(client: SandboxClient, call_id: str) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("ask()", session))
    path, body = f"/sessions/{session}/resume", {"call_id": call_id, "result": ""}
    await client.refused(409, ErrorCode.CALL_MISMATCH, "POST", path, json=body)
    assert (await client.resume(session, call.id, result="")).status is Status.OK


async def test_a_call_id_answers_once(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    first = call_of(await client.execute("ask(); ask()", session))
    second = call_of(await client.resume(session, first.id, result=""))
    path = f"/sessions/{session}/resume"
    await client.refused(409, ErrorCode.CALL_MISMATCH, "POST", path, json={"call_id": first.id, "result": ""})
    assert (await client.resume(session, second.id, result="")).status is Status.OK
    await client.refused(409, ErrorCode.CALL_MISMATCH, "POST", path, json={"call_id": second.id, "result": ""})


async def test_of_two_answers_at_once_one_is_taken(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("import time\nask(); time.sleep(0.2)", session))
    path, body = f"/sessions/{session}/resume", {"call_id": call.id, "result": ""}
    replies = await asyncio.gather(*(client.request("POST", path, json=body) for _ in range(2)))
    assert sorted(reply.status for reply in replies) == [200, 409]


@pytest.mark.parametrize("fields", [{}, {"result": "r", "error": "e"}])
async def test_an_answer_needs_exactly_one_of_result_and_error(client: SandboxClient, fields: dict[str, str]) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("ask()", session))
    path = f"/sessions/{session}/resume"
    await client.refused(400, ErrorCode.MALFORMED, "POST", path, json={"call_id": call.id, **fields})
    assert (await client.resume(session, call.id, error="")).status is Status.ERROR


async def test_names_that_were_not_given_do_not_suspend(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    code = "import sandbox\ntry:\n    sandbox.call('tell', '')\nexcept RuntimeError as e:\n    x = str(e)\nx"
    reply = await client.execute(code, session)
    assert (reply.status, reply.result) == (Status.OK, "'tell is no host function of this session'")


async def test_a_bare_execute_may_name_host_functions_when_it_creates_the_session(client: SandboxClient) -> None:
    session = new_id()
    call = call_of(await client.execute("ask('a')", session, host_functions=["ask"]))
    await client.resume(session, call.id, result="")
    reply = await client.execute("tell('a')", session, host_functions=["tell"])
    assert reply.error is not None
    assert reply.error.type == "NameError"


async def test_a_one_shot_cell_may_suspend_and_ends_with_its_last_reply(client: SandboxClient) -> None:
    reply = await client.execute("ask('x')", host_functions=["ask"])
    done = await client.resume(reply.session_id, call_of(reply).id, result="answer")
    assert done.result == "'answer'"


async def test_time_suspended_does_not_count_and_what_is_left_does(client: SandboxClient) -> None:
    session = await session_with_ask(client, prelude="x = 1")
    call = call_of(await client.execute("ask()\nwhile True: pass", session, timeout=0.5))
    await asyncio.sleep(0.7)  # longer than the cell may run
    reply = await client.resume(session, call.id, result="")
    assert (reply.status, reply.rolled_back, reply.rolled_back_to) == (Status.TIMEOUT, True, 0)
    assert (await client.execute("x", session)).result == "1"


async def test_a_timeout_given_with_the_answer_replaces_what_was_left(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("import time\nask()\ntime.sleep(0.5)\n'done'", session, timeout=0.2))
    reply = await client.resume(session, call.id, result="", timeout=20)
    assert (reply.status, reply.result) == (Status.OK, "'done'")


async def test_a_suspended_cell_that_fails_later_rolls_back_to_before_it(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    await client.execute("x = 1", session)
    call = call_of(await client.execute("x = 2\nask()\nimport os; os.abort()", session))
    reply = await client.resume(session, call.id, result="")
    assert (reply.status, reply.rolled_back_to) == (Status.CRASHED, 1)
    assert (await client.execute("x", session)).result == "1"


async def test_large_payloads_and_answers_go_through_whole(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    call = call_of(await client.execute("len(ask('é' * 3_000_000))", session))
    assert call.payload == '{"args": ["' + "é" * 3_000_000 + '"], "kwargs": {}}'
    assert (await client.resume(session, call.id, result="中" * 3_000_000)).result == "3000000"


async def test_a_payload_beyond_the_cap_is_an_error_in_the_cell_that_is_not_sent(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    reply = await client.execute("import sandbox\nx = 1\nsandbox.call('ask', 'x' * (17 << 20))", session)
    assert reply.error is not None
    assert (reply.status, reply.error.type) == (Status.ERROR, "ValueError")
    assert (await client.execute("x", session)).result == "1"


async def test_a_call_of_something_else_than_text_is_a_typeerror(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    reply = await client.execute("import sandbox; sandbox.call('ask', 5)", session)
    assert reply.error is not None
    assert reply.error.type == "TypeError"


async def test_a_repeated_request_id_gives_the_suspended_reply_again(client: SandboxClient) -> None:
    session = await session_with_ask(client)
    first = await client.execute("ask()", session, request_id="r")
    again = await client.execute("ask()", session, request_id="r")
    assert again == first
    assert (await client.resume(session, call_of(again).id, result="")).status is Status.OK


async def test_many_sessions_suspended_at_once_get_their_own_answers(client: SandboxClient) -> None:
    async def one(number: int) -> str | None:
        session = await session_with_ask(client)
        call = call_of(await client.execute(f"ask({number})", session))
        assert f"[{number}]" in call.payload
        return (await client.resume(session, call.id, result=str(number))).result

    assert await asyncio.gather(*map(one, range(12))) == [f"'{number}'" for number in range(12)]
