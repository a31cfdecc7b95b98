"""Two real sandbox servers of which a test may end one: the next test gets it back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.runtime.inference.sandbox_process import SandboxProcess, run_sandbox

DEADLINE = 60.0
STATES = ("idle", "running", "suspended")


class SandboxPair:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._started = 0
        self.servers: list[SandboxProcess] = []

    def heal(self) -> None:
        """Start again what a test has ended."""
        self.servers = [server for server in self.servers if server.process.poll() is None]
        while len(self.servers) < 2:
            folder = self._folder / str(self._started)
            folder.mkdir()
            self._started += 1
            self.servers.append(self._stack.enter_context(run_sandbox(folder)))

    @property
    def urls(self) -> str:
        return ",".join(server.url for server in self.servers)

    @property
    def key_file(self) -> Path:
        return self.servers[0].key_file

    async def holding(self, *states: str) -> SandboxProcess:
        """The server with a session in one of these states, once there is one; any state by default."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for server in self.servers:
                    if await asyncio.to_thread(_count, server.url, states or STATES):
                        return server
                await asyncio.sleep(0.02)

    async def kill(self, *states: str) -> SandboxProcess:
        """SIGKILL to the server with such a session."""
        return await self.end(signal.SIGKILL, *states)

    async def end(self, how: signal.Signals, *states: str) -> SandboxProcess:
        server = await self.holding(*states)
        server.process.send_signal(how)
        if how is signal.SIGKILL:
            await asyncio.to_thread(server.process.wait)
        return server


@contextlib.contextmanager
def run_pair(folder: Path) -> Iterator[SandboxPair]:
    with ExitStack() as stack:
        yield SandboxPair(folder, stack)


def _count(url: str, states: tuple[str, ...]) -> float:
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as response:  # noqa: S310  # our own http address
            lines = response.read().decode().splitlines()
    except OSError:
        return 0.0
    names = tuple(f'wasm_sessions{{state="{state}"}}' for state in states)
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(names))
