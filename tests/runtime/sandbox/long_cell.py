"""A cell that is older than a second of CPU, and what younger ones get beside it on one CPU; measured in CPU time."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import Final

from runtime.wire import CellReply, Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import cpu_ticks, sessions_of

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
BUSY: Final = "while True: pass"


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
