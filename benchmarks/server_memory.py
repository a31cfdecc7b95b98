"""What large replies and variables take of the server's own memory: at most, while kept, and after their sessions' end.

    python -m benchmarks.server_memory

Each case has a sandbox server of its own, a real process reached over HTTP. Counted are the resident pages of the
server's process and the files in memory that it holds open, not its session processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.machine import describe_machine
from benchmarks.server import running_sandbox

RESULTS: Final = Path(__file__).parent / "results" / "server_memory.json"
SESSIONS: Final = 30
READERS: Final = 8
CALL_BYTES: Final = (16 << 20) - 1024
EVENT_BYTES: Final = (8 << 20) - 1024
VARIABLE_BYTES: Final = 60_000_000
PIECE: Final = 1 << 20
LOOK_SECONDS: Final = 0.005
SETTLE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Case:
    """`work` does what is measured, and returns the sessions that it leaves behind."""

    name: str
    moved: int  # bytes that pass the server, all requests together
    work: Callable[[aiohttp.ClientSession], Awaitable[list[str]]]


@dataclass(frozen=True)
class Result:
    """Megabytes of the server; `kept` when every reply was read, `after` when every session was deleted."""

    name: str
    moved_mb: float
    before_mb: float
    peak_mb: float
    kept_mb: float
    after_mb: float
    seconds: float


class Peak:
    """The most that a process held, seen by looking often."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stopped = threading.Event()
        self.bytes = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self.bytes = max(self.bytes, held_bytes(self._pid))


def held_bytes(pid: int) -> int:
    """Resident pages and open memory files; those that are mapped would count twice, and none of the server's are."""
    return _resident_bytes(pid) + _memory_file_bytes(pid)


def _resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))


def _memory_file_bytes(pid: int) -> int:
    sizes: dict[int, int] = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if "memfd:" in str(link.readlink()):
                found = link.stat()
                sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


async def execute(http: aiohttp.ClientSession, session_id: str, code: str, **fields: object) -> None:
    body = {"session_id": session_id, "code": code, "request_id": f"r-{session_id}", "locals": "none", **fields}
    async with http.post("/execute", json=body) as reply:
        reply.raise_for_status()
        async for _ in reply.content.iter_chunked(PIECE):
            pass


async def suspend(http: aiohttp.ClientSession) -> list[str]:
    names = [f"s{number}" for number in range(SESSIONS)]
    code = f"import sandbox\nprint(len(sandbox.call('f', 'x' * {CALL_BYTES})))"
    for name in names:
        await execute(http, name, code, host_functions=["f"])
    return names


async def emit(http: aiohttp.ClientSession) -> list[str]:
    names = [f"s{number}" for number in range(SESSIONS)]
    for name in names:
        await execute(http, name, f"import sandbox\nsandbox.emit('e', 'x' * {EVENT_BYTES})")
    return names


async def suspend_together(http: aiohttp.ClientSession) -> list[str]:
    names = [f"s{number}" for number in range(READERS)]
    code = f"import sandbox\nprint(len(sandbox.call('f', 'x' * {CALL_BYTES})))"
    await asyncio.gather(*(execute(http, name, code, host_functions=["f"]) for name in names))
    return names


async def read_variables(http: aiohttp.ClientSession) -> list[str]:
    names = [f"s{number}" for number in range(READERS)]
    for name in names:
        await execute(http, name, f"v = 'x' * {VARIABLE_BYTES}")

    async def read(name: str) -> None:
        async with http.get(f"/sessions/{name}/variables/v") as reply:
            reply.raise_for_status()
            async for _ in reply.content.iter_chunked(PIECE):
                pass

    await asyncio.gather(*map(read, names))
    return names


async def _pieces(total: int) -> AsyncIterator[bytes]:
    piece = b"x" * PIECE
    for start in range(0, total, PIECE):
        yield piece[: total - start]


async def set_variables(http: aiohttp.ClientSession) -> list[str]:
    names = [f"s{number}" for number in range(READERS)]
    for name in names:
        await execute(http, name, "1")

    async def put(name: str) -> None:
        status = 429
        while status == 429:
            headers = {"Content-Type": "text/plain", "Content-Length": str(VARIABLE_BYTES)}
            url = f"/sessions/{name}/variables/v"
            with suppress(aiohttp.ClientConnectionError):  # a refusal that came while the body was sent
                async with http.put(url, data=_pieces(VARIABLE_BYTES), headers=headers) as reply:
                    status = reply.status
            await asyncio.sleep(0.1)
        assert status == 200, status

    await asyncio.gather(*map(put, names))
    return names


async def answer_calls(http: aiohttp.ClientSession) -> list[str]:
    names = [f"s{number}" for number in range(READERS)]
    calls = {}
    for name in names:
        body = {"session_id": name, "code": "import sandbox\nx = sandbox.call('f', '')", "host_functions": ["f"]}
        async with http.post("/execute", json=body) as reply:
            calls[name] = (await reply.json())["call"]["id"]

    async def answer(name: str) -> None:
        body = json.dumps({"call_id": calls[name], "result": "x" * CALL_BYTES}).encode()

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), PIECE):
                yield body[start : start + PIECE]

        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        async with http.post(f"/sessions/{name}/resume", data=pieces(), headers=headers) as reply:
            reply.raise_for_status()
            await reply.read()

    await asyncio.gather(*map(answer, names))
    return names


CASES: Final = (
    Case(f"{SESSIONS} sessions suspended, 16 MiB payloads", SESSIONS * CALL_BYTES, suspend),
    Case(f"{SESSIONS} replies kept, 8 MiB events", SESSIONS * EVENT_BYTES, emit),
    Case(f"{READERS} calls of 16 MiB at once", READERS * CALL_BYTES, suspend_together),
    Case(f"{READERS} answers of 16 MiB at once", READERS * CALL_BYTES, answer_calls),
    Case(f"{READERS} GETs of 60 MB at once", READERS * VARIABLE_BYTES, read_variables),
    Case(f"{READERS} PUTs of 60 MB at once", READERS * VARIABLE_BYTES, set_variables),
)


async def measure(case: Case) -> Result:
    with running_sandbox(spares=2) as (url, pid):
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
            await execute(http, "warm", "1")
            before, peak, started = held_bytes(pid), Peak(pid), time.monotonic()
            with peak.watched():
                sessions = await case.work(http)
            seconds = time.monotonic() - started
            await asyncio.sleep(SETTLE_SECONDS)
            kept = held_bytes(pid)
            for session in sessions:
                async with http.delete(f"/sessions/{session}") as reply:
                    reply.raise_for_status()
            await asyncio.sleep(SETTLE_SECONDS)
            after = held_bytes(pid)
    moved, before_mb, peak_mb, kept_mb, after_mb = (
        round(value / 1e6, 1) for value in (case.moved, before, peak.bytes, kept, after)
    )
    return Result(case.name, moved, before_mb, peak_mb, kept_mb, after_mb, round(seconds, 2))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.server_memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON (default: %(default)s)")
    arguments = parser.parse_args()
    machine = describe_machine()
    print("; ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    print(f"{'MB of the server':42} {'moved':>7} {'before':>7} {'peak':>7} {'kept':>7} {'after':>7} {'seconds':>8}")
    results = []
    for case in CASES:
        found = asyncio.run(measure(case))
        results.append(found)
        print(
            f"{found.name:42} {found.moved_mb:7} {found.before_mb:7} {found.peak_mb:7} {found.kept_mb:7} "
            f"{found.after_mb:7} {found.seconds:8}",
            flush=True,
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    payload = {"machine": machine, "results": [asdict(result) for result in results]}
    arguments.out.write_text(json.dumps(payload, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
