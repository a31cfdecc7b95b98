"""Cells that have had a second of CPU yield to younger ones, so that a long cell never doubles the time of a short one.

Between sessions of the same age the kernel shares the CPU by their nice value (`hardening`). An old cell could be given
a higher one, but a process without CAP_SYS_NICE, as in a pod, never gets its old value back, and neither do its forks:
the session would be slow for good. So the server does what the kernel's weights would do: while a younger cell wants
the CPU and there is not enough of it for all, it stops old cells (SIGSTOP) and lets them go on for one tick in four.
That needs no privilege, costs nothing while there is no contention, and ends with the cell.

Told by `cells` of each cell that runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.sandbox.process import SessionProcess
from runtime.sandbox.session import Session

TICK_SECONDS: Final = 0.025
OLD_SECONDS: Final = 1.0  # of CPU
TICKS: Final = 4  # of which an old cell runs in one: about the weight of six steps of nice
STOPPED: Final = "T"
RUNNABLE: Final = "R"


@dataclass(eq=False)
class _Running:
    """A cell that runs. `held`: the process that was stopped for younger cells."""

    session: Session
    held: SessionProcess | None = None


class Weights:
    """`cpus`: what the cells have together."""

    def __init__(self, cpus: float) -> None:
        self._cpus = cpus
        self._running: list[_Running] = []
        self._tick = 0
        self._governing: asyncio.Task[None] | None = None

    @contextmanager
    def running(self, session: Session) -> Iterator[None]:
        """A cell of the session runs; afterwards its process is as it was before."""
        cell = _Running(session)
        self._running.append(cell)
        session.process.crowded = len(self._running) > self._cpus
        if self._governing is None:
            self._governing = asyncio.get_running_loop().create_task(self._govern())
        try:
            yield
        finally:
            self._running.remove(cell)
            _let_go(cell)

    async def close(self) -> None:
        if self._governing is not None:
            self._governing.cancel()
            await asyncio.gather(self._governing, return_exceptions=True)

    async def _govern(self) -> None:
        """Runs while cells run."""
        try:
            while self._running:
                await asyncio.sleep(TICK_SECONDS)
                self._share()
        finally:
            self._governing = None

    def _share(self) -> None:
        self._tick += 1
        old = [cell for cell in self._running if cell.session.process.meter.cpu() >= OLD_SECONDS]
        if not old:
            return
        young = [cell for cell in self._running if cell not in old]
        wanting = sum(_state(cell) == RUNNABLE for cell in young)
        competing = [cell for cell in old if _state(cell) in (RUNNABLE, STOPPED)]
        stay = yielding(len(competing), wanting, self._cpus, self._tick)
        for cell, yields in zip(competing, stay, strict=True):
            if yields:
                cell.held = cell.session.process
                cell.held.send_signal(signal.SIGSTOP)
            else:
                _let_go(cell)


def yielding(old: int, young: int, cpus: float, tick: int) -> Sequence[bool]:
    """Which of `old` cells stand still in this tick, when `young` ones want the CPU as well."""
    if young == 0 or old + young <= cpus or tick % TICKS == 0:
        return [False] * old
    free = max(0, int(cpus) - young)  # CPUs that the young ones leave: the old take turns on them
    return [(place + tick) % old >= free for place in range(old)]


def _let_go(cell: _Running) -> None:
    if cell.held is not None:
        cell.held.send_signal(signal.SIGCONT)
        cell.held = None


def _state(cell: _Running) -> str:
    """The letter of /proc/PID/stat; empty when the process is gone."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{cell.session.process.pid}/stat").read_bytes()
        return stat.rpartition(b") ")[2][:1].decode()
    return ""
