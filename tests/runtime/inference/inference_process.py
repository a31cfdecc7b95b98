"""`python -m runtime.inference` as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

DEADLINE = 60.0
MINIMAL = {"RLM_MODEL_NAME": "root-model", "RLM_MODEL_BASE_URL": "http://127.0.0.1:9/v1", "RLM_PORT": "0"}


async def start(environment: dict[str, str], *arguments: str) -> Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RLM_", "WASM_", "OPENAI_"))}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runtime.inference", *arguments, env={**clean, **environment}, stdout=PIPE, stderr=PIPE
    )


async def finish(process: Process) -> tuple[int, str, str]:
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def running(environment: dict[str, str]) -> AsyncIterator[tuple[Process, dict[str, int]]]:
    """The process and its ports, once it listens."""
    process = await start({**MINIMAL, **environment})
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                line = await process.stderr.readline()
                assert line, f"ended with {await process.wait()}"
                record = json.loads(line)
                if record["message"] == "listening":
                    break
        yield process, {"api": record["port"], "metrics": record["metrics_port"]}
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
