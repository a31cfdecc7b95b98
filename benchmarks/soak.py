"""Many streaming clients of the inference service, who sometimes leave, over a model that often fails; then: what was
answered, what the service counted, and what stayed behind.

    python -m benchmarks.soak --clients 200 --seconds 300

Model, sandbox and inference service are processes of their own. A short load of the same kind runs first, so that what
is compared at the end is a service that has worked before. Exit status 1 when an invariant does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import aiohttp

from benchmarks.footprint import take_footprint
from benchmarks.machine import describe_machine
from benchmarks.model import COMPLETION_TOKENS, PROMPT_TOKENS
from benchmarks.server import running_model, running_sandbox
from benchmarks.soak_client import OK, SUB_CALLS, TURNS, SoakClient, SoakTally
from benchmarks.soak_service import CountedInference, Held, settled

RESULTS: Final = Path(__file__).parent / "results" / "soak.json"
FAULTS: Final = {"429": 0.05, "500": 0.05, "half": 0.02, "hang": 0.003}
RUN_SECONDS: Final = 30  # of wall time that a run may take: what ends one whose model hangs
PATIENCE: Final = 4.0 * RUN_SECONDS  # after which a stream that has not ended is stuck
WARM_UP_SECONDS: Final = 10.0
REST_SECONDS: Final = 65.0  # after which what is kept of ended runs and of connections is gone
LOOKS: Final = 10
KEPT_BYTES: Final = 48 << 20  # of the service's memory that may be more than before: what allocators keep
CALLS_OF_RUN: Final = SUB_CALLS + 1  # that can be under way when one ends


async def put_load(service: CountedInference, clients: int, seconds: float, tally: SoakTally) -> list[float]:
    """The service's memory in MB at even times. Ends when the last stream has."""
    stop = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        service.url, connector=connector, timeout=aiohttp.ClientTimeout(total=None)
    ) as http:
        running = [asyncio.create_task(SoakClient(http, tally, seed, PATIENCE).run(stop)) for seed in range(clients)]
        megabytes = []
        for _ in range(LOOKS):
            await asyncio.wait(running, timeout=seconds / LOOKS, return_when=asyncio.FIRST_EXCEPTION)
            megabytes.append(round((await asyncio.to_thread(service.hold)).rss_bytes / 1e6, 1))
        stop.set()
        await asyncio.gather(*running)
    return megabytes


async def run(clients: int, seconds: float) -> dict[str, Any]:
    with ExitStack() as stack:
        model = stack.enter_context(running_model())
        most = 3 * clients + 16
        sandbox_url, sandbox_pid = stack.enter_context(running_sandbox(spares=4, max_sessions=most, max_queue=most))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        service = CountedInference(
            sandbox_url, model.url, Path(folder) / "tasks", timeout_seconds=RUN_SECONDS, max_concurrency=64
        )
        service.start()
        stack.callback(service.stop)
        script = {"turns": TURNS, "latency": 0.02, "sub_latency": 0.05, "faults": FAULTS, "seed": 1}
        model.control.follow(**script)
        await put_load(service, clients, min(WARM_UP_SECONDS, seconds / 2), SoakTally())
        rested = time.monotonic() + REST_SECONDS
        before = await asyncio.to_thread(settled, service, lambda _: time.monotonic() > rested)
        counted = service.counts()
        model.control.follow(**script)
        tally = SoakTally()
        memory = await put_load(service, clients, seconds, tally)
        after = await asyncio.to_thread(settled, service, lambda held: held.countables <= before.countables)
        found = service.counts() - counted
        sandbox = await asyncio.to_thread(take_footprint, sandbox_pid, sandbox_url)
        said = model.control.counts()
    return {
        "clients": clients,
        "seconds": seconds,
        "asked": tally.asked,
        "dropped": tally.dropped,
        "refused": tally.refused,
        "stuck": tally.stuck,
        "wrong": tally.wrong,
        "outcomes": dict(tally.outcomes),
        "failed_slots": tally.failed_slots,
        "seconds_p50_p99": [round(quantiles(tally.seconds, n=100)[at], 2) for at in (49, 98)],
        "model": said,
        "service": dict(found),
        "service_mb": memory,
        "before": asdict(before),
        "after": asdict(after),
        "sandbox_sessions": sandbox.sessions,
        "examples": tally.examples,
        "problems": [
            *stream_problems(tally),
            *count_problems(tally, found, said),
            *leak_problems(before, after, sandbox.sessions),
        ],
    }


def stream_problems(tally: SoakTally) -> list[str]:
    named = {"wrong answers": tally.wrong, "stuck streams": tally.stuck, "requests refused": tally.refused}
    unended = tally.outcomes["unended"] + tally.outcomes["internal"]
    return [
        f"{count} {what}" for what, count in {**named, "streams cut or failed on a defect": unended}.items() if count
    ]


def count_problems(tally: SoakTally, found: Counter[str], said: dict[str, int]) -> list[str]:
    """What the service counted, against what the clients and the model did. A stream that was dropped may have ended in
    any way, and a reply may have come when nobody waited for it any more."""
    problems = []
    runs = {name.removeprefix("runs "): count for name, count in found.items() if name.startswith("runs ")}
    if sum(runs.values()) != tally.asked:
        problems.append(f"{sum(runs.values())} runs were counted, {tally.asked} were asked for")
    problems += [
        f"{runs.get(status, 0)} runs counted as {status}, {count} seen"
        for status, count in tally.outcomes.items()
        if runs.get(status, 0) < count
    ]
    more = sum(count - tally.outcomes[status] for status, count in runs.items())
    if more != tally.dropped:
        problems.append(f"{more} runs ended unseen, {tally.dropped} streams were dropped")
    answered = said.get("answered root", 0) + said.get("answered sub", 0)
    unheard = answered - found["calls ok"]
    ended_early = tally.dropped + sum(count for status, count in tally.outcomes.items() if status != OK)
    if not 0 <= unheard <= CALLS_OF_RUN * ended_early:
        problems.append(f"{found['calls ok']} calls counted as ok, the model answered {answered}")
    tokens = (PROMPT_TOKENS * found["calls ok"], COMPLETION_TOKENS * found["calls ok"])
    if (found["tokens prompt"], found["tokens completion"]) != tokens:
        problems.append(f"{found['tokens prompt']} and {found['tokens completion']} tokens counted, not {tokens}")
    if said["open"]:
        problems.append(f"{said['open']} requests are still open at the model")
    return problems


def leak_problems(before: Held, after: Held, sessions: int) -> list[str]:
    problems = []
    if after.active:
        problems.append(f"still active: {after.active}")
    if sessions:
        problems.append(f"{sessions} sessions are left in the sandbox")
    if not after.countables <= before.countables:
        problems.append(f"left behind: {after.countables - before.countables}")
    if after.rss_bytes - before.rss_bytes > KEPT_BYTES:
        problems.append(f"the service grew by {(after.rss_bytes - before.rss_bytes) / 1e6:.0f} MB")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON (default: %(default)s)")
    arguments = parser.parse_args()
    machine = describe_machine()
    print("; ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    results = asyncio.run(run(arguments.clients, arguments.seconds))
    for name, value in results.items():
        print(f"{name:16} {value}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if results["problems"] else 0)


if __name__ == "__main__":
    main()
