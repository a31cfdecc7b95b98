"""Whom a body of sixty megabytes keeps waiting, and what it takes of memory, in a service process of its own.

    python -m benchmarks.large_body

Prints a table for docs/design/0019. There is neither model nor sandbox: each request is read, parsed and turned into a
question, and then refused with 503. Meanwhile /healthz and another client's request are asked again and again.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from benchmarks.server import free_port

BYTES: Final = 60_000_000
LINE: Final = "The quick brown fox jumps over the lazy dog, and the dog thinks about it for long.\n"
NOBODY: Final = "http://127.0.0.1:9"
SMALL: Final = {"query": ""}  # refused after it was parsed


def chat(text: str) -> bytes:
    parts = [{"type": "text", "text": text}, {"type": "text", "text": "How many?"}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    return json.dumps(body, ensure_ascii=False).encode()


def run(**fields: object) -> bytes:
    return json.dumps({"query": "How many?", **fields}).encode()


BODIES: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "chat, one text": ("/v1/chat/completions", lambda: chat(LINE * (BYTES // 85))),
    "chat, text with a quote in each line": ("/v1/chat/completions", lambda: chat(f'"{LINE}' * (BYTES // 87))),
    "chat, text beyond ASCII": ("/v1/chat/completions", lambda: chat(f"grün €{LINE}" * (BYTES // 96))),
    "chat, a table as text": ("/v1/chat/completions", lambda: chat("1,2,3,4,5\n" * (BYTES // 11))),
    "run, 10,000 documents": (
        "/rlm/v1/runs",
        lambda: run(documents=[{"path": f"{i}", "text": LINE * (BYTES // 850_000)} for i in range(10_000)]),
    ),
    "run, JSON of a million records": (
        "/rlm/v1/runs",
        lambda: run(context=[{"id": i, "name": f"name {i}", "v": [i, 1.5, None]} for i in range(BYTES // 60)]),
    ),
    "run, JSON of 20 million empty lists": (
        "/rlm/v1/runs",
        lambda: b'{"query": "q", "context": [' + b",".join([b"[]"] * (BYTES // 3)) + b"]}",
    ),
}


class Server:
    """`python -m runtime.inference`, once it answers."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "RLM_AUTH_MODE": "Disabled",
            "RLM_PORT": str(port),
            "RLM_MODEL_NAME": "m",
            "RLM_MODEL_BASE_URL": f"{NOBODY}/v1",
            "WASM_SERVICE_URL": NOBODY,
            "RLM_RECOVERY_SECONDS": "0",
            "LOG_LEVEL": "ERROR",
        }
        self.process = subprocess.Popen([sys.executable, "-m", "runtime.inference"], env={**os.environ, **settings})

    def memory(self, name: str) -> int:
        """VmRSS or VmHWM, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{name}:"))

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")


async def until_up(http: ClientSession, server: Server) -> None:
    while True:
        try:
            async with http.get(f"{server.url}/healthz"):
                return
        except OSError:
            await asyncio.sleep(0.05)


async def ask_others(http: ClientSession, server: Server, over: asyncio.Event) -> list[float]:
    """Seconds that each of the others waited for its reply."""
    waits: list[float] = []
    while not over.is_set():
        began = time.perf_counter()
        async with http.get(f"{server.url}/healthz") as healthy:
            assert healthy.status == 200
        async with http.post(f"{server.url}/rlm/v1/runs", json=SMALL) as small:
            assert small.status == 400
        waits.append(time.perf_counter() - began)
    return waits


async def send(http: ClientSession, server: Server, path: str, body: bytes) -> None:
    async with http.post(server.url + path, data=io.BytesIO(body)) as response:
        assert response.status == 503, await response.text()


async def measure(server: Server, name: str) -> None:
    path, build = BODIES[name]
    body = build()
    async with ClientSession() as http, ClientSession() as others:
        server.forget_peak()
        before, over, began = server.memory("VmRSS"), asyncio.Event(), time.perf_counter()
        asking = asyncio.create_task(ask_others(others, server, over))
        await send(http, server, path, body)
        took = time.perf_counter() - began
        over.set()
        waits = sorted(await asking)
    peak = server.memory("VmHWM") - before
    print(
        f"| {name} | {len(body) / 1e6:.0f} MB | {took:.2f} s | {waits[len(waits) // 2] * 1000:.0f} ms, "
        f"{waits[-1] * 1000:.0f} ms | {len(waits)} | {peak / 1e6:.0f} MB |",
        flush=True,
    )


async def main() -> None:
    print("| body | size | its reply after | others waited: median, longest | others asked | memory at the peak |")
    print("| --- | --- | --- | --- | --- | --- |")
    server = Server()
    try:
        async with ClientSession() as http:
            await until_up(http, server)
        for name in BODIES:
            await measure(server, name)
    finally:
        server.process.terminate()
        server.process.wait()


if __name__ == "__main__":
    asyncio.run(main())
