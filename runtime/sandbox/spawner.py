"""Starts the zygote, keeps spare sessions ready, and starts both again when they end.

Owns every process of the service. Called by the registry for each new session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from typing import Final

from runtime.sandbox.channel import Channel, socket_pair
from runtime.sandbox.errors import ProcessError
from runtime.sandbox.frames import Head
from runtime.sandbox.intake import Intake
from runtime.sandbox.process import SessionProcess
from runtime.sandbox.seccomp import build_filter
from runtime.sandbox.usage import resident_bytes

REFILL_DELAY_SECONDS: Final = 0.01  # so that a new spare does not race the first cell of the one just taken
START_TIMEOUT_SECONDS: Final = 60.0
TAKE_ATTEMPTS: Final = 3  # a process may be killed just before it is taken
FIRST_RESTART_SECONDS: Final = 0.2
LONGEST_RESTART_SECONDS: Final = 10.0
SESSION_NUMBERS: Final = 60_000  # own uids are FIRST_SESSION_UID + number; numbers come round

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ZygoteOptions:
    image: str
    program: tuple[str, ...]  # module and first arguments of the process that starts sessions
    memory_bytes: int
    output_bytes: int
    cpu_shares: int
    park_seconds: float
    spawn_seconds: float  # the longest start of a session


class Spawner:
    def __init__(self, options: ZygoteOptions, spares: int) -> None:
        self._options = options
        self._seccomp = build_filter()
        self._intake = Intake()
        self._wanted_spares = spares
        self._spares: deque[SessionProcess] = deque()
        self._starting: set[SessionProcess] = set()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None
        self._ready: asyncio.Event = asyncio.Event()
        self._answered = asyncio.Event()  # the first zygote is ready, or said why its guest did not start
        self._failure = ""
        self._number = 0
        self._restart_seconds = FIRST_RESTART_SECONDS
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.missing_measures: list[str] = []

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    @property
    def spares(self) -> int:
        """Processes that wait ready."""
        return sum(1 for process in self._spares if process.ready.done() and not process.gone)

    async def start(self) -> None:
        """Start the zygote and the first spares. ProcessError if the zygote does not come up."""
        self._start_zygote()
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await self._answered.wait()
        except TimeoutError:
            raise ProcessError(f"the zygote of image {self._options.image} did not become ready") from None
        if self._failure:
            raise ProcessError(f"guest image {self._options.image} did not start: {self._failure}")
        self._refill()
        await asyncio.gather(*(process.ready for process in self._spares), return_exceptions=True)

    async def take(self) -> SessionProcess:
        """A process with a fresh guest: a spare, or a new fork. ProcessError if none can be had."""
        for _ in range(TAKE_ATTEMPTS):
            process = self._next_process()
            if await self._has_started(process):
                return process
        raise ProcessError("a session process did not start; the zygote is gone or out of processes")

    def _next_process(self) -> SessionProcess:
        """A spare, or a new fork."""
        while self._spares:
            process = self._spares.popleft()
            if not process.gone:
                asyncio.get_running_loop().call_later(REFILL_DELAY_SECONDS, self._refill)
                return process
        return self._spawn()

    def shared_bytes(self) -> int:
        """Memory that every session has in common with the zygote, and that none gives back."""
        return 0 if self._zygote is None else resident_bytes(self._zygote.pid)

    async def branch(self, source: SessionProcess, *, suspended: bool) -> SessionProcess:
        """A process with a copy of the guest of `source`. ProcessError if none can be had, or if its guest is not
        (or no longer) suspended as expected."""
        process, theirs = self._connect()
        source.branch(theirs.fileno(), suspended=suspended)
        theirs.close()
        if await self._has_started(process):
            return process
        raise ProcessError("a branch did not start; its source ended or is out of processes")

    async def _has_started(self, process: SessionProcess) -> bool:
        """False, and the process is closed: it ended first. ProcessError when nothing is heard of it for long."""
        try:
            async with asyncio.timeout(self._options.spawn_seconds):
                await asyncio.shield(process.ready)
        except TimeoutError:
            process.close()
            raise ProcessError("a session process did not start in time; the zygote is gone or stuck") from None
        except asyncio.CancelledError:
            died = process.ready.cancelled()  # otherwise it is the caller who was cancelled
            process.close()
            if not died:
                raise
            return False
        return True

    async def close(self) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        for process in [*self._spares, *self._starting]:
            process.close()
        self._spares.clear()
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            with contextlib.suppress(ProcessLookupError):
                self._zygote.kill()
            await asyncio.to_thread(self._zygote.wait)

    def _start_zygote(self) -> None:
        ours, theirs = socket_pair()
        options = self._options
        command = [sys.executable, "-I", "-m", *options.program]
        command += [str(theirs.fileno()), str(options.memory_bytes), str(options.output_bytes), str(options.cpu_shares)]
        command += [str(options.park_seconds), self._seccomp.hex()]
        self._zygote = subprocess.Popen(  # noqa: S603 - our own module with our own arguments
            command, env={}, stdin=subprocess.DEVNULL, close_fds=True, pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._control = Channel(ours, self._on_zygote_message, self._on_zygote_end, self._intake)

    def _on_zygote_message(self, head: Head, _body: bytearray, _pid: int) -> None:
        if head.get("t") == "ready":
            self.missing_measures = [str(measure) for measure in head.get("missing", [])]
            self._restart_seconds = FIRST_RESTART_SECONDS
            self._ready.set()
            self._answered.set()
            log.info("zygote ready", extra={"image": self._options.image, "missing_measures": self.missing_measures})
        elif head.get("t") == "failed":
            self._failure = str(head["detail"])
            self._answered.set()
            log.error("the guest did not start", extra={"image": self._options.image, "detail": self._failure})

    def _on_zygote_end(self) -> None:
        self._ready.clear()
        if self._closing:
            return
        log.error("zygote ended; starting another", extra={"after_seconds": self._restart_seconds})
        task = asyncio.get_running_loop().create_task(self._restart())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restart(self) -> None:
        zygote = self._zygote
        if zygote is not None:
            with contextlib.suppress(ProcessLookupError):
                zygote.kill()
            await asyncio.to_thread(zygote.wait)
        while True:
            await asyncio.sleep(self._restart_seconds)
            self._restart_seconds = min(self._restart_seconds * 2, LONGEST_RESTART_SECONDS)
            try:
                self._start_zygote()
                break
            except OSError as error:
                log.warning("the zygote could not be started", extra={"error": str(error)})
        await self._ready.wait()
        self._refill()

    def _spawn(self) -> SessionProcess:
        if self._control is None or self._control.closed or not self.is_ready:
            raise ProcessError("the zygote is not ready; try again in a moment")
        process, theirs = self._connect()
        self._number = (self._number + 1) % SESSION_NUMBERS
        self._control.send({"t": "spawn", "number": self._number}, descriptors=[theirs.fileno()])
        theirs.close()
        return process

    def _connect(self) -> tuple[SessionProcess, socket.socket]:
        """A process that is yet to be forked, and its end of the socket."""
        try:
            ours, theirs = socket_pair()
        except OSError as error:
            raise ProcessError(f"no socket for another session: {error}") from error
        process = SessionProcess(on_gone=self._forget)
        process.attach(Channel(ours, process.received, process.ended, self._intake))
        self._starting.add(process)
        process.ready.add_done_callback(lambda _: self._starting.discard(process))
        return process, theirs

    def _refill(self) -> None:
        while self.is_ready and not self._closing and len(self._spares) < self._wanted_spares:
            try:
                self._spares.append(self._spawn())
            except ProcessError as error:
                log.warning("no spare session could be made", extra={"error": str(error)})
                return

    def _forget(self, process: SessionProcess) -> None:
        if process in self._spares:
            self._spares.remove(process)
