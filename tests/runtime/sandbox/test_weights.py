"""A long cell yields the CPU to younger ones, and its session's next cell is young again.

The service runs on one CPU, and shares are compared in CPU time: whatever else the machine does changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.sandbox.hardening import niceness
from runtime.sandbox.weights import TICKS, yielding
from runtime.wire import CellReply, Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import alive, cpu_ticks, descendants, nice, sessions_of, status
from tests.runtime.sandbox.server import SandboxServer, run_server

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BUSY = "while True: pass"


def spin(millions: int) -> str:
    """A cell that loops so often: ten million take about a third of a second of CPU."""
    return f"for _ in range({millions}_000_000): pass"


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """What is started within it runs on one CPU."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


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


class LongCell:
    """A session with a cell that runs, and the process in which it does."""

    def __init__(self, client: SandboxClient, session: str, code: str) -> None:
        self._client = client
        self._before = {pid: cpu_ticks({pid}) for pid in sessions_of(client.server.pid)}
        self.session = session
        self.reply = asyncio.create_task(client.execute(code, session))
        self.pid = 0

    def cpu(self) -> float:
        """Seconds of CPU since the cell began."""
        used = {pid: cpu_ticks({pid}) - self._before.get(pid, 0) for pid in sessions_of(self._client.server.pid)}
        self.pid = max(used, key=lambda pid: used[pid])
        return used[self.pid] / TICKS_PER_SECOND

    async def until_old(self) -> None:
        await eventually(lambda: self.cpu() > 1.1)


async def begin(client: SandboxClient, code: str, session: str | None = None) -> LongCell:
    """A cell of its own session, older than a second of CPU."""
    session = session or new_id()
    await client.execute("kept = 1", session)
    long = LongCell(client, session, code)
    await long.until_old()
    return long


async def assert_gets_its_share(client: SandboxClient, session: str, long: LongCell) -> None:
    """A young cell of `session` and the old one want the same CPU: the old one gets less than half as much."""
    before = cpu_ticks({long.pid})
    reply = await client.execute(spin(15), session)
    assert reply.status is Status.OK
    assert (cpu_ticks({long.pid}) - before) / TICKS_PER_SECOND < reply.cpu_time / 2


async def ended(long: LongCell) -> CellReply:
    return await asyncio.wait_for(long.reply, 120)


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
    long = await begin(narrow, BUSY)
    sleeper = asyncio.create_task(narrow.execute("import time; time.sleep(0.5)", new_id()))
    stopped = False
    while not sleeper.done():
        stopped = stopped or status(long.pid)["State"].startswith("T")
        await asyncio.sleep(0.005)
    assert not stopped
    await narrow.interrupt(long.session)
    await ended(long)


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
