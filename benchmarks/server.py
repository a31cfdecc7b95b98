"""A sandbox service of its own for a benchmark: a real process on a free loopback port, ended afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientSession

START_SECONDS = 300.0


@asynccontextmanager
async def running_sandbox(**settings: str) -> AsyncIterator[tuple[str, int]]:
    """(url, pid) once it is ready; `settings` are environment variables."""
    port = free_port()
    env = {**os.environ, "SANDBOX_AUTH_MODE": "Disabled", "SANDBOX_PORT": str(port), "LOG_LEVEL": "WARNING", **settings}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "runtime.sandbox", env=env)
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(START_SECONDS):
            await _wait_until_ready(url)
        yield url, process.pid
    finally:
        process.terminate()
        await process.wait()


async def _wait_until_ready(url: str) -> None:
    async with ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/readyz") as response:
                    if response.status == 200:
                        return
            except ClientError:
                pass
            await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
