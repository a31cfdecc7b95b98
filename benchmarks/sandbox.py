"""The sandbox service beside a plain `python3 -I` child process, in one run on one machine.

Prints a table of medians and minimums (milliseconds) with ratios, and writes the same as JSON to benchmarks/results/.

    python -m benchmarks.sandbox [--samples N]

The peer is no sandbox: it shows what the isolation costs. Ours is measured over HTTP with one keep-alive connection.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from aiohttp import ClientSession

from benchmarks.memory import descendants, private_bytes, proportional_bytes
from benchmarks.server import running_sandbox

PACE_SECONDS = 0.03
CONTEXT_CHARACTERS = 40_000_000
BURST_CELLS = 50
BURSTS = 30
MEMORY_SESSIONS = 40
RESULTS = Path(__file__).parent / "results"

PEER = """
import sys, json
names = {}
def call(payload):
    sys.stdout.write(json.dumps({"call": payload}) + "\\n"); sys.stdout.flush()
    return json.loads(sys.stdin.readline())
names["call"] = call
for line in sys.stdin:
    exec(json.loads(line), names)
    sys.stdout.write('{"done": true}\\n'); sys.stdout.flush()
"""


class Peer:
    """`python3 -I` that runs each line it gets: no isolation, no limits, no rollback."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-u", "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def exchange(self, line: str) -> Any:
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the peer has no pipes")
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Sandbox:
    """The service through its HTTP protocol."""

    def __init__(self, http: ClientSession) -> None:
        self._http = http

    async def post(self, path: str, body: dict[str, Any], status: int = 200) -> Any:
        async with self._http.post(path, json=body) as response:
            reply = await response.json()
            assert response.status == status, reply
            return reply

    async def create(self, session_id: str, **options: Any) -> None:
        await self.post("/sessions", {"session_id": session_id, **options}, status=201)

    async def cell(self, session_id: str, code: str) -> Any:
        reply = await self.post("/execute", {"code": code, "session_id": session_id})
        assert reply["status"] in ("ok", "suspended"), reply
        return reply

    async def delete(self, session_id: str) -> None:
        async with self._http.delete(f"/sessions/{session_id}"):
            pass

    async def put(self, session_id: str, name: str, text: str) -> None:
        headers = {"content-type": "text/plain"}
        async with self._http.put(f"/sessions/{session_id}/variables/{name}", data=text.encode(), headers=headers) as r:
            assert r.status == 200, await r.text()


async def timed(action: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    await action()
    return (time.perf_counter() - started) * 1e3


def peer_rows(samples: int) -> dict[str, list[float]]:
    fresh, warm, calls = [], [], []
    for _ in range(min(samples, 40)):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", "x = 40 + 2\nprint(x)"], capture_output=True, check=True)
        fresh.append((time.perf_counter() - started) * 1e3)
    peer = Peer()
    for _ in range(samples):
        started = time.perf_counter()
        peer.exchange("x = 40 + 2")
        warm.append((time.perf_counter() - started) * 1e3)
    asked = peer.exchange(f"for _ in range({samples}): call('p')")
    while "call" in asked:
        started = time.perf_counter()
        asked = peer.exchange("r")
        calls.append((time.perf_counter() - started) * 1e3)
    peer.close()
    return {"new session + first cell": fresh, "warm cell": warm, "host-call round trip": calls}


async def first_cells(sandbox: Sandbox, samples: int) -> list[float]:
    """A new session and its first cell, paced so that a spare is ready."""
    times = []
    for number in range(samples):
        name = f"first{number}"
        times.append(await timed(lambda name=name: sandbox.cell(name, "x = 40 + 2\nprint(x)")))  # type: ignore[misc]
        await sandbox.delete(name)
        await asyncio.sleep(PACE_SECONDS)
    return times


async def cells(sandbox: Sandbox, session_id: str, count: int, pace: float) -> list[float]:
    times = []
    for _ in range(count):
        times.append(await timed(lambda: sandbox.cell(session_id, "x = 40 + 2")))
        if pace:
            await asyncio.sleep(pace)
    return times


async def host_calls(sandbox: Sandbox, samples: int) -> list[float]:
    """Resume until the next suspension, in one cell."""
    await sandbox.create("calls", host_functions=["ask"], checkpoint="idle")
    reply = await sandbox.cell("calls", f"for _ in range({samples}): ask('p')")
    times = []
    while reply["status"] == "suspended":
        body = {"call_id": reply["call"]["id"], "result": "r"}
        started = time.perf_counter()
        reply = await sandbox.post("/sessions/calls/resume", body)
        times.append((time.perf_counter() - started) * 1e3)
    await sandbox.delete("calls")
    return times


async def context_rows(sandbox: Sandbox, samples: int) -> dict[str, Any]:
    """What a 40 MB context costs the cells after it: the two sessions take turns, so noise hits both."""
    rows: dict[str, Any] = {}
    text = ("x" * 99 + "\n") * (CONTEXT_CHARACTERS // 100)
    for policy in ("idle", "cell"):
        for name in ("empty", "full"):
            await sandbox.create(f"{name}-{policy}", checkpoint=policy)
        rows[f"40 MB in ({policy})"] = [await timed(lambda p=policy: sandbox.put(f"full-{p}", "context", text))]  # type: ignore[misc]
        reply = await sandbox.cell(f"full-{policy}", "len(context)")
        assert reply["result"] == str(CONTEXT_CHARACTERS)
        paced: dict[str, list[float]] = {"empty": [], "full": []}
        for _ in range(samples):
            for name, times in paced.items():
                times.extend(await cells(sandbox, f"{name}-{policy}", 1, PACE_SECONDS))
        burst: dict[str, list[float]] = {"empty": [], "full": []}
        for _ in range(BURSTS):
            for name, times in burst.items():
                started = time.perf_counter()
                await cells(sandbox, f"{name}-{policy}", BURST_CELLS, 0)
                times.append((time.perf_counter() - started) * 1e3 / BURST_CELLS)
                await asyncio.sleep(0.1)
        for name in ("empty", "full"):
            rows[f"paced cell, {name} ({policy})"] = paced[name]
            rows[f"burst cell, {name} ({policy})"] = burst[name]
            await sandbox.delete(f"{name}-{policy}")
    return rows


async def recovery(sandbox: Sandbox, samples: int) -> list[float]:
    """From the timeout's reply to the next good cell with the state intact."""
    await sandbox.create("kills")
    await sandbox.cell("kills", "def f(): return 7")
    times = []
    for _ in range(samples):
        reply = await sandbox.post("/execute", {"code": "while True: pass", "session_id": "kills", "timeout": 0.05})
        assert reply["rolled_back"], reply
        started = time.perf_counter()
        good = await sandbox.cell("kills", "f()")
        times.append((time.perf_counter() - started) * 1e3)
        assert good["result"] == "7", good
    await sandbox.delete("kills")
    return times


async def memory(sandbox: Sandbox, server: int) -> dict[str, float]:
    """MB per idle session with its checkpoint, and of the peer."""
    before_private, before_pss = private_bytes(descendants(server)), proportional_bytes(descendants(server))
    for number in range(MEMORY_SESSIONS):
        await sandbox.cell(f"m{number}", "x = 1")
    await asyncio.sleep(1)
    pids = descendants(server)
    ours_private = (private_bytes(pids) - before_private) / MEMORY_SESSIONS / 1e6
    ours_pss = (proportional_bytes(pids) - before_pss) / MEMORY_SESSIONS / 1e6
    for number in range(MEMORY_SESSIONS):
        await sandbox.delete(f"m{number}")
    peer = Peer()
    peer.exchange("x = 1")
    theirs = private_bytes([peer.process.pid]) / 1e6
    theirs_pss = proportional_bytes([peer.process.pid]) / 1e6
    peer.close()
    return {
        "private MB per session": ours_private,
        "proportional MB per session": ours_pss,
        "peer private MB": theirs,
        "peer proportional MB": theirs_pss,
    }


async def throughput(sandbox: Sandbox, clients: int, policy: str, seconds: float = 3.0) -> float:
    """Cells per second, each client in its own session, back to back."""
    names = [f"t{number}" for number in range(clients)]
    for name in names:
        await sandbox.create(name, checkpoint=policy)
    done = 0
    end = time.perf_counter() + seconds

    async def client(name: str) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await sandbox.cell(name, "x = 40 + 2")
            done += 1

    await asyncio.gather(*(client(name) for name in names))
    for name in names:
        await sandbox.delete(name)
    return done / seconds


def print_table(rows: dict[str, list[float]], peer: dict[str, list[float]]) -> None:
    print(f"{'milliseconds':34} {'median':>9} {'min':>9} {'n':>5}   {'peer median':>11} {'min':>9} {'ratio':>7}")
    for name, times in rows.items():
        line = f"{name:34} {median(times):9.3f} {min(times):9.3f} {len(times):5}"
        if name in peer:
            theirs = peer[name]
            line += f"   {median(theirs):11.3f} {min(theirs):9.3f} {median(times) / median(theirs):7.2f}"
        print(line)


async def measure(samples: int) -> None:
    async with running_sandbox() as (url, pid), ClientSession(url) as http:
        sandbox = Sandbox(http)
        peer = peer_rows(samples)
        rows: dict[str, list[float]] = {"new session + first cell": await first_cells(sandbox, samples)}
        for policy in ("idle", "cell"):
            await sandbox.create(f"warm-{policy}", checkpoint=policy)
            rows["warm cell" if policy == "idle" else "warm cell (policy cell)"] = await cells(
                sandbox, f"warm-{policy}", samples, 0 if policy == "idle" else PACE_SECONDS
            )
            await sandbox.delete(f"warm-{policy}")
        rows["host-call round trip"] = await host_calls(sandbox, samples)
        rows["good cell after a kill"] = await recovery(sandbox, min(samples, 30))
        rows |= await context_rows(sandbox, min(samples, 60))
        print_table(rows, peer)
        ratios = {
            f"40 MB context, {kind} cell under {policy}": median(rows[f"{kind} cell, full ({policy})"])
            / median(rows[f"{kind} cell, empty ({policy})"])
            for kind in ("paced", "burst")
            for policy in ("idle", "cell")
        }
        figures = await memory(sandbox, pid)
        for policy in ("idle", "cell"):
            figures[f"cells/s, 8 clients, {policy}"] = await throughput(sandbox, 8, policy)
    print()
    for name, value in {**ratios, **figures}.items():
        print(f"{name:44} {value:9.2f}")
    write_results(rows, peer, {**ratios, **figures})


def write_results(rows: dict[str, list[float]], peer: dict[str, list[float]], figures: dict[str, float]) -> None:
    RESULTS.mkdir(exist_ok=True)
    summary = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": platform.machine(), "kernel": platform.release(), "python": platform.python_version()},
        "ours_ms": {
            name: {"median": median(times), "min": min(times), "n": len(times)} for name, times in rows.items()
        },
        "peer_ms": {
            name: {"median": median(times), "min": min(times), "n": len(times)} for name, times in peer.items()
        },
        "figures": figures,
    }
    path = RESULTS / "sandbox.json"
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {path.relative_to(Path(__file__).parents[1])}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="samples of each quick measurement")
    asyncio.run(measure(parser.parse_args().samples))


if __name__ == "__main__":
    main()
