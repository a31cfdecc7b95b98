"""Keeps local processes running: starts them on a leash, passes their output on, restarts what crashes, stops all.

Used by `local/stack.py` as an async context manager. The rule for crashes: a wait that doubles from half a second, and
after `MAX_CRASHES` without a minute of quiet between them the whole stack is given up; a process that says its settings
are wrong (status 2) is not started again at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import aiohttp

from rlmctl.errors import StartError
from rlmctl.local.processes import LocalProcess

MAX_CRASHES: Final = 5
_QUIET_SECONDS: Final = 60.0
_FIRST_WAIT: Final = 0.5
_STOP_SECONDS: Final = 15.0
_LAST_WORDS_SECONDS: Final = 1.0
_WRONG_SETTINGS: Final = 2
_KEPT_LINES: Final = 20
_LEASH: Final = str(Path(__file__).with_name("leash.py"))

LineSink = Callable[[str, str], None]


@dataclass(frozen=True)
class _Child:
    """A started process, and the task that passes its output on."""

    process: asyncio.subprocess.Process
    output: asyncio.Task[None]

    async def end(self) -> None:
        """Ask it to end, kill what has not ended in time, and whatever it left running in its session's group."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await asyncio.wait({self.output}, timeout=_LAST_WORDS_SECONDS)
        self.output.cancel()


class Supervisor:
    """`on_line(process, line)` gets all output; `on_change()` is called when a process got a new pid."""

    def __init__(self, on_line: LineSink, on_change: Callable[[], None]) -> None:
        self._on_line = on_line
        self._on_change = on_change
        self._children: dict[str, _Child] = {}
        self._tails: dict[str, deque[str]] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.process.pid for name, child in self._children.items()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, process: LocalProcess) -> None:
        """Start one process, and keep it running from now on."""
        self._tails[process.name] = deque(maxlen=_KEPT_LINES)
        child = await self._spawn(process)
        self._keepers.append(asyncio.create_task(self._keep(process, child), name=f"keep {process.name}"))

    async def wait_until_ready(self, process: LocalProcess, within: float) -> None:
        """Until its readiness answers 200. Raises StartError when it cannot be kept running, or takes too long."""
        polling = asyncio.create_task(_poll(process.ready_url))
        done, _ = await asyncio.wait({polling, self._failure}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        polling.cancel()
        if not done:
            raise StartError(
                f"{process.name} was not ready within {within:.0f} s ({process.ready_url}){self._tail(process.name)}"
            )
        for future in done:
            future.result()

    async def wait_for_failure(self) -> None:
        """Returns never; raises StartError when a process had to be given up."""
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Ask all to end, the last started first; kill what has not ended in time. Nothing is left behind."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for name in reversed(list(self._children)):
            await self._children.pop(name).end()
        if self._failure.done():
            self._failure.exception()  # retrieved: whoever waited has it

    async def _spawn(self, process: LocalProcess) -> _Child:
        # A pipe of our own: asyncio's would count the process as running for as long as a grandchild holds it open.
        reading, writing = os.pipe()
        try:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", _LEASH, str(os.getpid()), *process.command),
                env=process.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,  # a Ctrl-C in the terminal is for rlmctl, which then stops all in order
            )
        finally:
            os.close(writing)
        output = asyncio.create_task(self._pass_on(process.name, os.fdopen(reading, "rb")))
        child = self._children[process.name] = _Child(running, output)
        self._on_change()
        return child

    async def _keep(self, process: LocalProcess, child: _Child) -> None:
        crashes, wait = 0, _FIRST_WAIT
        while True:
            started = time.monotonic()
            status = await child.process.wait()
            await child.end()
            if time.monotonic() - started >= _QUIET_SECONDS:
                crashes, wait = 0, _FIRST_WAIT
            crashes += 1
            if status == _WRONG_SETTINGS or crashes >= MAX_CRASHES:
                self._give_up(process.name, status, crashes)
                return
            self._on_line("rlmctl", f"{process.name} ended with status {status}; starting it again in {wait:g} s")
            await asyncio.sleep(wait)
            wait *= 2
            child = await self._spawn(process)

    def _give_up(self, name: str, status: int, crashes: int) -> None:
        if not self._failure.done():
            times = f" {crashes} times" if crashes > 1 else ""
            self._failure.set_exception(StartError(f"{name} ended{times} with status {status}{self._tail(name)}"))

    async def _pass_on(self, name: str, pipe: BinaryIO) -> None:
        """Every line of its output; one longer than the buffer comes in parts."""
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        try:
            while line := await _read_line(stream):
                text = line.decode("utf-8", "replace").rstrip("\n")
                self._tails[name].append(text)
                self._on_line(name, text)
        finally:
            transport.close()

    def _tail(self, name: str) -> str:
        lines = self._tails.get(name)
        return ". Its last lines:\n" + "\n".join(lines) if lines else " and wrote nothing"


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)


async def _poll(url: str) -> None:
    """Returns once the URL answers 200."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)
