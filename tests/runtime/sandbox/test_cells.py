"""Several cells in one request: in order, until one is not ok; a suspension goes on with the rest."""

from __future__ import annotations

import asyncio

import pytest

from runtime.wire import MAX_CELLS, ErrorCode, Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually


async def test_cells_run_in_order_and_each_has_its_own_reply(client: SandboxClient) -> None:
    replies = await client.execute_all(["x = 1; print('a')", "x += 1; print('b')", "x"], new_id())
    assert [reply.cell for reply in replies] == [1, 2, 3]
    assert [reply.stdout for reply in replies] == ["a\n", "b\n", ""]
    assert replies[-1].result == "2"


async def test_a_one_shot_request_may_have_several_cells(client: SandboxClient) -> None:
    assert [reply.result for reply in await client.execute_all(["x = 5", "x * 2"])] == [None, "10"]


@pytest.mark.parametrize(
    ("bad", "status"),
    [("1/0", Status.ERROR), ("while True: pass", Status.TIMEOUT), ("import os; os.abort()", Status.CRASHED)],
)
async def test_the_first_that_is_not_ok_is_the_last_that_runs(client: SandboxClient, bad: str, status: Status) -> None:
    session = new_id()
    replies = await client.execute_all(["x = 1", bad, "x = 3"], session, timeout=1)
    assert [reply.status for reply in replies] == [Status.OK, status]
    after = await client.execute("x", session, create=False)
    assert (after.result, after.cell) == ("1", 3)


async def test_a_suspension_goes_on_with_the_rest(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    first = await client.execute_all(["x = ['a']", "x.append(ask())", "x.append(ask())", "x"], session)
    assert [reply.status for reply in first] == [Status.OK, Status.SUSPENDED]
    assert first[-1].call is not None
    second = await client.resume_all(session, first[-1].call.id, result="b")
    assert [(reply.cell, reply.status) for reply in second] == [(2, Status.OK), (3, Status.SUSPENDED)]
    assert second[-1].call is not None
    third = await client.resume_all(session, second[-1].call.id, result="c")
    assert [(reply.cell, reply.result) for reply in third] == [(3, None), (4, "['a', 'b', 'c']")]


async def test_a_suspended_last_cell_ends_the_batch_with_its_own_reply(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    (reply,) = await client.execute_all(["ask()"], session)
    assert reply.call is not None
    assert [each.result for each in await client.resume_all(session, reply.call.id, result="a")] == ["'a'"]
    assert (await client.execute("1", session)).results is None


async def test_an_error_in_the_resumed_cell_leaves_the_rest_out_for_good(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    replies = await client.execute_all(["ask()", "x = 2"], session)
    assert replies[0].call is not None
    after = await client.resume_all(session, replies[0].call.id, error="no")
    assert [reply.status for reply in after] == [Status.ERROR]
    assert (await client.execute("x", session)).result == "1"


async def test_an_interrupted_suspension_leaves_the_rest_out_for_good(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    await client.execute_all(["ask()", "x = 2"], session)
    assert (await client.interrupt(session)).status is Status.INTERRUPTED
    suspended = await client.execute("ask()", session)
    assert suspended.call is not None
    done = await client.resume(session, suspended.call.id, result="")
    assert (done.status, done.results) == (Status.OK, None)
    assert (await client.execute("x", session)).result == "1"


async def test_an_interrupt_ends_the_cell_that_runs_and_those_behind_it(client: SandboxClient) -> None:
    session = new_id()
    running = asyncio.create_task(client.execute_all(["x = 1", "while True: pass", "x = 3"], session))

    async def second_cell_runs() -> bool:
        reply = await client.request("GET", f"/sessions/{session}")
        return reply.status == 200 and (await client.describe(session)).cell == 2

    await eventually(second_cell_runs)
    reply = await client.interrupt(session)
    replies = await running
    assert [each.status for each in replies] == [Status.OK, Status.INTERRUPTED]
    assert replies[-1] == reply
    assert (await client.execute("x", session, create=False)).result == "1"


async def test_each_cell_has_the_whole_timeout(client: SandboxClient) -> None:
    replies = await client.execute_all(["import time", *["time.sleep(0.4)"] * 4], timeout=1.2)
    assert {reply.status for reply in replies} == {Status.OK}


async def test_a_repeated_request_id_gives_all_replies_again(client: SandboxClient) -> None:
    session = new_id()
    replies = [await client.execute_all(["x = 1", "x"], session, request_id="r") for _ in range(2)]
    assert replies[0] == replies[1]


@pytest.mark.parametrize(
    "body",
    [{}, {"code": "1", "cells": ["1"]}, {"cells": []}, {"cells": ["1"] * (MAX_CELLS + 1)}, {"cells": "1"}],
    ids=["neither", "both", "none", "too many", "text"],
)
async def test_a_request_needs_one_cell_or_a_list_of_some(client: SandboxClient, body: dict[str, object]) -> None:
    await client.refused(400, ErrorCode.MALFORMED, "POST", "/execute", json=body)


async def test_the_code_of_all_cells_together_is_capped(client: SandboxClient) -> None:
    body = {"cells": ["#" * 600_000] * 2}
    await client.refused(413, ErrorCode.TOO_LARGE, "POST", "/execute", json=body)
