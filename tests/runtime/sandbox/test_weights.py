"""A long cell yields the CPU to younger ones, and its session's next cell is young again.

The service runs on one CPU, and shares are compared in CPU time: whatever else the machine does changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.sandbox.hardening import niceness
from runtime.sandbox.weights import TICK_SECONDS, TICKS, yielding
from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.long_cell import BUSY, assert_gets_its_share, begin, ended, one_cpu, spin
from tests.runtime.sandbox.processes import alive, descendants, nice, sessions_of, status
from tests.runtime.sandbox.server import SandboxServer, run_server


@pytest.fixture(scope="module")
def narrow_server() -> Iterator[SandboxServer]:
    with contextlib.ExitStack() as stack:
        with one_cpu():
            server = stack.enter_context(run_server(timeout_seconds=600))
        yield server


@pytest.fixture
async def narrow(narrow_server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(narrow_server) as connected:
        yield connected


async def test_a_young_cell_gets_more_cpu_than_a_long_one(narrow: SandboxClient) -> None:
    long = await begin(narrow, BUSY)
    await assert_gets_its_share(narrow, new_id(), long)
    await narrow.interrupt(long.session)
    assert (await ended(long)).status is Status.INTERRUPTED


async def test_a_long_cell_that_waited_goes_on_to_its_end_and_its_sessions_next_cell_is_young_again(
    narrow: SandboxClient,
) -> None:
    long = await begin(narrow, spin(120))
    await assert_gets_its_share(narrow, new_id(), long)
    assert (await ended(long)).status is Status.OK
    other = await begin(narrow, BUSY)
    await assert_gets_its_share(narrow, long.session, other)
    await narrow.interrupt(other.session)
    assert (await ended(other)).status is Status.INTERRUPTED


async def test_a_cell_that_sleeps_makes_no_long_one_wait(narrow: SandboxClient) -> None:
    long, sleeper = await begin(narrow, BUSY), new_id()
    sleeping = asyncio.create_task(narrow.execute("import time; time.sleep(60)", sleeper))

    async def goes_on_for_long() -> bool:
        """Longer than the ticks in which it would stand still, were the other one counted."""
        for _ in range(4 * TICKS):
            if status(long.pid)["State"].startswith("T"):
                return False
            await asyncio.sleep(TICK_SECONDS / 2)
        return True

    await eventually(lambda: is_running(narrow, sleeper))
    await eventually(goes_on_for_long, deadline=20)
    assert not sleeping.done()
    for session in (long.session, sleeper):
        await narrow.interrupt(session)
    await asyncio.gather(ended(long), sleeping)


async def is_running(client: SandboxClient, session: str) -> bool:
    return b'"running"' in (await client.request("GET", f"/sessions/{session}")).body


async def test_a_stopped_cell_is_killed_with_its_server() -> None:
    with one_cpu():
        context = run_server(timeout_seconds=600)
        server = context.__enter__()
    with contextlib.ExitStack() as stack:
        stack.push(context)
        async with connect(server) as client:
            long = await begin(client, BUSY)
            young = [asyncio.create_task(client.execute(BUSY, new_id())) for _ in range(4)]
            await eventually(lambda: status(long.pid).get("State", "").startswith("T"))
            processes = descendants(server.pid)
            assert long.pid in processes
            server.process.kill()
            await eventually(lambda: not alive(processes))
            await asyncio.gather(*young, long.reply, return_exceptions=True)


async def test_a_session_runs_with_the_nice_value_of_its_shares(narrow: SandboxClient) -> None:
    await narrow.execute("1", new_id())
    assert {nice(pid) - nice(narrow.server.pid) for pid in sessions_of(narrow.server.pid)} == {niceness(256)}


def test_nobody_yields_while_there_is_a_cpu_for_everybody() -> None:
    assert not any(any(yielding(old=1, young=1, cpus=2, tick=tick)) for tick in range(TICKS))
    assert not any(any(yielding(old=3, young=0, cpus=1, tick=tick)) for tick in range(TICKS))


def test_an_old_cell_runs_in_one_tick_of_four_beside_a_young_one_on_one_cpu() -> None:
    assert sum(yielding(old=1, young=1, cpus=1, tick=tick)[0] for tick in range(TICKS)) == TICKS - 1


def test_old_cells_take_turns_on_the_cpus_that_young_ones_leave() -> None:
    went_on = {
        place
        for tick in range(1, TICKS)
        for place, yields in enumerate(yielding(old=3, young=1, cpus=2, tick=tick))
        if not yields
    }
    assert went_on == {0, 1, 2}
    assert all(sum(yielding(old=3, young=1, cpus=2, tick=tick)) == 2 for tick in range(1, TICKS))
