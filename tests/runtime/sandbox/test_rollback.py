"""After any limit: the last good state, said so, and another session that was never disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from runtime.wire import CellReply, Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually

STATE = "x = 42\ndef double(n): return n * 2\nclass Box:\n    def __init__(self, v): self.v = v\nbox = Box([1, 2])"
CHECK = "x, double(x), box.v"
EXPECTED = "(42, 84, [1, 2])"


@dataclass
class Pair:
    client: SandboxClient
    session: str
    other: str

    async def run_bad_cell(self, code: str, seconds: float = 1.0) -> CellReply:
        """The reply; meanwhile the other session answered at least once."""
        running = asyncio.create_task(self.client.execute(code, self.session, timeout=seconds))
        answers = 0
        while not running.done() or answers == 0:
            assert (await self.client.execute("y", self.other)).result == "'other'"
            answers += 1
        return await running

    async def assert_state(self) -> None:
        assert (await self.client.execute(CHECK, self.session, create=False)).result == EXPECTED


@pytest.fixture
async def pair(client: SandboxClient) -> AsyncIterator[Pair]:
    made = Pair(client, new_id(), new_id("other"))
    await client.execute(STATE, made.session)
    await client.execute("y = 'other'", made.other)
    yield made
    await client.delete(made.session)
    await client.delete(made.other)


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)"])
async def test_a_cell_that_does_not_end_times_out_and_everything_before_it_is_still_there(
    pair: Pair, code: str
) -> None:
    reply = await pair.run_bad_cell(f"x = 'changed'\n{code}")
    assert reply.status is Status.TIMEOUT
    assert (reply.rolled_back, reply.rolled_back_to, reply.session_lost) == (True, 1, False)
    assert reply.error is not None
    assert "cell 1" in reply.error.message
    assert reply.execution_time >= 1.0
    await pair.assert_state()


async def test_a_400_megabyte_string_is_a_memoryerror_and_the_session_goes_on_without_a_rollback(pair: Pair) -> None:
    reply = await pair.run_bad_cell("z = 'x' * 400_000_000", seconds=20)
    assert reply.status is Status.ERROR
    assert reply.error is not None
    assert (reply.error.type, reply.rolled_back) == ("MemoryError", False)
    await pair.assert_state()


async def test_a_session_survives_a_hundred_bad_cells_in_a_row(pair: Pair) -> None:
    """Each promotion must leave things as they were: descriptors, recursion depth, processes."""
    for _ in range(100):
        reply = await pair.client.execute("import os; os._exit(1)", pair.session)
        assert (reply.status, reply.rolled_back_to) == (Status.CRASHED, 1)
    await pair.assert_state()


async def test_good_and_bad_cells_may_alternate(pair: Pair) -> None:
    for number in range(10):
        await pair.client.execute(f"x = {number}", pair.session)
        reply = await pair.client.execute("x = None; import os; os.abort()", pair.session)
        assert reply.rolled_back
        assert (await pair.client.execute("x", pair.session)).result == str(number)


async def test_a_client_that_goes_away_ends_its_cell_and_the_state_is_as_before(pair: Pair) -> None:
    running = asyncio.create_task(pair.client.execute("x = 0\nwhile True: pass", pair.session))

    async def is_running() -> bool:
        return (await pair.client.describe(pair.session)).state == "running"

    await eventually(is_running)
    running.cancel()

    async def is_idle() -> bool:
        return (await pair.client.describe(pair.session)).state == "idle"

    await eventually(is_idle)
    await pair.assert_state()


async def test_a_client_that_goes_away_while_it_creates_a_session_leaves_none(client: SandboxClient) -> None:
    session = new_id()
    running = asyncio.create_task(client.execute("while True: pass", session))

    async def exists() -> bool:
        return (await client.request("GET", f"/sessions/{session}")).status == 200

    await eventually(exists)
    running.cancel()

    async def is_gone() -> bool:
        return not await exists()

    await eventually(is_gone)


async def test_a_client_that_goes_away_during_a_prelude_leaves_no_session_and_the_id_is_free(
    client: SandboxClient,
) -> None:
    session = new_id()
    creating = asyncio.create_task(client.create(session_id=session, prelude="while True: pass"))

    async def exists() -> bool:
        return (await client.request("GET", f"/sessions/{session}")).status == 200

    await eventually(exists)
    creating.cancel()

    async def can_be_created() -> bool:
        return (await client.request("POST", "/sessions", json={"session_id": session})).status == 201

    await eventually(can_be_created)


async def test_a_client_that_goes_away_in_a_resumed_cell_ends_it_and_its_call_ids(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"])).session_id
    await client.execute("x = 1", session)
    reply = await client.execute("x = 2\nask()\nwhile True: pass", session)
    assert reply.call is not None
    resuming = asyncio.create_task(client.resume(session, reply.call.id, result=""))

    async def state() -> str:
        return (await client.describe(session)).state

    async def is_running() -> bool:
        return await state() == "running"

    async def is_idle() -> bool:
        return await state() == "idle"

    await eventually(is_running)
    resuming.cancel()
    await eventually(is_idle)
    assert (await client.execute("x", session)).result == "1"


async def test_the_first_cell_of_a_bare_session_may_be_bad_and_the_session_goes_on_empty(
    client: SandboxClient,
) -> None:
    session = new_id()
    reply = await client.execute("x = 1\nimport os; os._exit(0)", session)
    assert (reply.status, reply.rolled_back, reply.rolled_back_to) == (Status.CRASHED, True, 0)
    second = await client.execute("'x' in globals()", session, create=False)
    assert (second.result, second.created) == ("False", False)


async def test_a_one_shot_cell_that_is_killed_says_why(client: SandboxClient) -> None:
    reply = await client.execute("while True: pass", timeout=0.3)
    assert (reply.status, reply.session_lost, reply.rolled_back) == (Status.TIMEOUT, False, False)
