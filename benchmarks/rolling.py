"""Two servers, restarted in turn while clients work: what each kind of client is told.

    python -m benchmarks.rolling --rounds 3

One-shot cells and sessions go through the project's own client, which knows both servers; bare clients send one-shot
cells through a balancer (`balancer.py`) and retry nothing. Exit status 1 when a request was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.balancer import Balancer
from benchmarks.machine import describe_machine
from benchmarks.server import SandboxProcess
from runtime.inference.errors import SandboxUnavailableError
from runtime.inference.sandbox_client import SandboxClient
from runtime.wire import ExecuteRequest, ResumeRequest, SessionRequest, Status

RESULTS: Final = Path(__file__).parent / "results" / "rolling.json"
DRAIN_SECONDS: Final = 20.0
PATIENCE: Final = 60.0
SETTLE_SECONDS: Final = 1.0  # of load between two restarts
CELLS: Final = 6  # of a session, each of which asks its host once


@dataclass
class Outcome:
    """`sessions_told`: how often a session's client was told that its server is gone. `lost`: no answer, or a wrong
    one."""

    one_shots: int = 0
    sessions: int = 0
    session_cells: int = 0
    sessions_told: int = 0
    bare: Counter[int] = field(default_factory=Counter)
    bare_without_retry_after: int = 0
    lost: list[str] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)  # seconds from SIGTERM until it is ready again

    def problems(self) -> list[str]:
        found = list(self.lost)
        if others := set(self.bare) - {200, 503}:
            found.append(f"a bare client got {sorted(others)}")
        if self.bare_without_retry_after:
            found.append(f"{self.bare_without_retry_after} refusals did not say when to come back")
        return found


async def one_shots(client: SandboxClient, outcome: Outcome, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        try:
            reply = await client.execute(ExecuteRequest(code=f"import time; time.sleep(0.02); {number} ** 2"))
        except SandboxUnavailableError as error:
            outcome.lost.append(f"one-shot cell: {error}")
        else:
            outcome.one_shots += 1
            if reply.result != str(number**2):
                outcome.lost.append(f"one-shot cell: wrong reply {reply.status} {reply.result}")


async def sessions(client: SandboxClient, outcome: Outcome, stop: asyncio.Event) -> None:
    """A session that goes away with its server is made anew and its cells run again: the caller has them."""
    while not stop.is_set():
        try:
            value = await _one_session(client, outcome)
        except SandboxUnavailableError:
            outcome.sessions_told += 1
        else:
            outcome.sessions += 1
            if value != str(CELLS):
                outcome.lost.append(f"session: the value is {value} after {CELLS} cells")


async def _one_session(client: SandboxClient, outcome: Outcome) -> str | None:
    made = await client.create_session(SessionRequest(prelude="n = 0", host_functions=["ask"]))
    value: str | None = None
    try:
        for _ in range(CELLS):
            request = ExecuteRequest(code="n += int(ask())\nn", session_id=made.session_id, create=False)
            reply = await client.execute(request)
            while reply.status is Status.SUSPENDED and reply.call is not None:
                await asyncio.sleep(0.02)  # the answer takes its time
                answer = ResumeRequest(call_id=reply.call.id, result="1")
                reply = await client.resume(made.session_id, answer)
            value = reply.result
            outcome.session_cells += 1
    finally:
        with suppress(SandboxUnavailableError):
            await client.delete(made.session_id)
    return value


async def bare(url: str, keep_alive: bool, outcome: Outcome, stop: asyncio.Event) -> None:
    connector = aiohttp.TCPConnector(force_close=not keep_alive)
    async with aiohttp.ClientSession(url, connector=connector) as http:
        while not stop.is_set():
            try:
                async with http.post("/execute", json={"code": "1 + 1"}) as response:
                    await response.read()
            except aiohttp.ClientError as error:
                outcome.lost.append(f"bare client (keep-alive {keep_alive}): {error!r}")
                continue
            outcome.bare[response.status] += 1
            if response.status == 503 and "Retry-After" not in response.headers:
                outcome.bare_without_retry_after += 1


async def run(rounds: int, clients: int) -> tuple[Outcome, dict[str, Any]]:
    """`clients` of each kind."""
    outcome, stop = Outcome(), asyncio.Event()
    servers = [SandboxProcess(spares=2, drain_seconds=DRAIN_SECONDS, max_queue=1000) for _ in range(2)]
    with ExitStack() as stack:
        for server in servers:
            await asyncio.to_thread(server.start)
            stack.callback(server.stop)
        async with Balancer([server.port for server in servers]) as balancer:
            client = SandboxClient(",".join(server.url for server in servers), patience=PATIENCE)
            running = [
                asyncio.create_task(work)
                for number in range(clients)
                for work in (
                    one_shots(client, outcome, stop),
                    sessions(client, outcome, stop),
                    bare(balancer.url, number % 2 == 0, outcome, stop),
                )
            ]
            try:
                await _restart_in_turn(servers * rounds, balancer, running, outcome)
            finally:
                stop.set()
                await asyncio.gather(*running)
                await client.close()
    summary = {
        "rounds": rounds,
        "clients_of_each_kind": clients,
        "one_shot_cells": outcome.one_shots,
        "sessions": outcome.sessions,
        "session_cells": outcome.session_cells,
        "sessions_told_and_made_anew": outcome.sessions_told,
        "bare_statuses": {str(status): count for status, count in sorted(outcome.bare.items())},
        "restart_seconds": [round(seconds, 2) for seconds in outcome.restarts],
        "problems": outcome.problems(),
    }
    return outcome, summary


async def _restart_in_turn(
    servers: list[SandboxProcess], balancer: Balancer, running: list[asyncio.Task[None]], outcome: Outcome
) -> None:
    for server in servers:
        await asyncio.wait(running, timeout=SETTLE_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        started = time.monotonic()
        balancer.take_out(server.port)
        status = await asyncio.to_thread(server.stop)
        if status != 0:
            outcome.lost.append(f"a server ended with status {status}")
        await asyncio.to_thread(server.start)
        balancer.put_in(server.port)
        outcome.restarts.append(time.monotonic() - started)
    await asyncio.wait(running, timeout=SETTLE_SECONDS, return_when=asyncio.FIRST_EXCEPTION)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rolling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the two is restarted")
    parser.add_argument("--clients", type=int, default=4, help="of each of the three kinds")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON (default: %(default)s)")
    arguments = parser.parse_args()
    machine = describe_machine()
    _, summary = asyncio.run(run(arguments.rounds, arguments.clients))
    for name, value in {**machine, **summary}.items():
        print(f"{name:28} {value}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": machine, **summary}, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if summary["problems"] else 0)


if __name__ == "__main__":
    main()
