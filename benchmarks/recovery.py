"""How long the sandbox takes to be back in service after a process of it was killed by SIGKILL.

    python -m benchmarks.recovery

Prints a table for docs/reliability.md. Each fault is made in a service of its own without spares; the clock runs from
the kill to the reply, or to the state, that the row names.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

from aiohttp import ClientSession

from benchmarks.memory import descendants
from benchmarks.server import running_sandbox

TIMES: Final = 20

Measure = Callable[["Service"], Awaitable[float]]


class Service:
    def __init__(self, http: ClientSession, url: str, pid: int) -> None:
        self.http = http
        self.url = url
        self.pid = pid

    async def execute(self, code: str, session: str | None = "s") -> tuple[int, dict[str, Any]]:
        body = {"code": code, "timeout": 20, **({} if session is None else {"session_id": session})}
        async with self.http.post(f"{self.url}/execute", json=body) as response:
            return response.status, await response.json()

    async def session_state(self) -> str:
        async with self.http.get(f"{self.url}/sessions/s") as response:
            return str((await response.json())["state"])

    async def works(self) -> bool:
        return (await self.execute("1", None))[0] == 200

    def zygote(self) -> int:
        return min(descendants(self.pid))

    def sessions(self) -> list[int]:
        """Head and checkpoint of the only session, in this order."""
        return sorted(descendants(self.zygote()))

    async def with_checkpoint(self) -> list[int]:
        assert (await self.execute("x = 1"))[0] == 200
        found: list[int] = []

        def are_two() -> bool:
            found[:] = self.sessions()
            return len(found) == 2

        await until(are_two)
        return found


def kill(pid: int) -> float:
    os.kill(pid, signal.SIGKILL)
    return time.perf_counter()


async def idle_head(service: Service) -> float:
    """to the next good cell, which has the state"""
    head, _ = await service.with_checkpoint()
    killed = kill(head)
    _, reply = await service.execute("x")
    took = time.perf_counter() - killed
    assert (reply["result"], reply["status"]) in {("1", "ok"), (None, "crashed")}, reply
    return took


async def running_head(service: Service) -> float:
    """to the reply of its cell, `crashed` and rolled back, and of a good one after it"""
    head, _ = await service.with_checkpoint()
    running = asyncio.create_task(service.execute("while True: pass"))
    while await service.session_state() != "running":
        pass
    await until(lambda: state(head) == "R")
    killed = kill(head)
    assert (await running)[1]["rolled_back"]
    assert (await service.execute("x"))[1]["result"] == "1"
    return time.perf_counter() - killed


async def checkpoint(service: Service) -> float:
    """to the reply of a good cell, which makes another"""
    _, waiting = await service.with_checkpoint()
    killed = kill(waiting)
    assert (await service.execute("x"))[1]["result"] == "1"
    return time.perf_counter() - killed


async def zygote(service: Service) -> float:
    """to the first cell in a new session"""
    assert await service.works()
    killed = kill(service.zygote())
    works = False
    while not works:
        works = await service.works()
    return time.perf_counter() - killed


async def whole_server(service: Service) -> float:
    """to the end of its last process"""
    await service.with_checkpoint()
    running = asyncio.create_task(service.execute("while True: pass", "other"))
    await until(lambda: len(descendants(service.pid)) >= 4)
    left = descendants(service.pid)
    killed = kill(service.pid)
    await until(lambda: all(state(pid) in "ZX" for pid in left))
    took = time.perf_counter() - killed
    await asyncio.gather(running, return_exceptions=True)
    return took


def state(pid: int) -> str:
    """Its letter in /proc; X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what the kernel does sets no event here
        await asyncio.sleep(0.002)


async def measure(what: Measure, times: int) -> list[float]:
    """One service for all, unless the measure ends it."""
    taken: list[float] = []
    services = times if what is whole_server else 1
    for _ in range(services):
        with running_sandbox(spares=0) as (url, pid):
            async with ClientSession() as http:
                service = Service(http, url, pid)
                taken += [await what(service) for _ in range(times // services)]
    return taken


async def main() -> None:
    print("| SIGKILL of | the clock runs | median | longest | n |\n| --- | --- | --- | --- | --- |")
    for name, what, times in (
        ("an idle head", idle_head, TIMES),
        ("a running head", running_head, TIMES),
        ("a checkpoint", checkpoint, TIMES),
        ("the zygote", zygote, 5),
        ("the server", whole_server, 5),
    ):
        taken = await measure(what, times)
        figures = f"{median(taken) * 1000:.1f} ms | {max(taken) * 1000:.1f} ms"
        print(f"| {name} | {what.__doc__} | {figures} | {len(taken)} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
