"""Many clients with good, slow, crashing and greedy cells at once; then: what was answered, and what stayed behind.

    python -m benchmarks.load --clients 64 --seconds 300

The service is a process of its own, reached over HTTP. A short load of the same kind runs first, so that what is
compared at the end is a service that has worked before. Exit status 1 when an invariant does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.footprint import Footprint, settled_footprint, take_footprint
from benchmarks.machine import describe_machine
from benchmarks.mix import MixClient
from benchmarks.server import running_sandbox
from benchmarks.tally import Tally

RESULTS: Final = Path(__file__).parent / "results" / "load.json"
QUEUE_SHARE: Final = 3 / 8  # of the clients: the others run or are refused, so that the bound is reached
SPARES: Final = 4
MOST_SESSIONS: Final = 200
WARM_UP_SECONDS: Final = 5.0
LOOKS: Final = 10  # at the server's memory while the load runs
KEPT_BYTES: Final = 32 << 20  # of the server's memory that may be more than before: what allocators keep


async def put_load(url: str, clients: int, seconds: float, tally: Tally, pid: int) -> list[float]:
    """The server's memory in MB at even times."""
    stop = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        running = [asyncio.create_task(MixClient(http, tally, seed).run(stop)) for seed in range(clients)]
        megabytes = []
        for _ in range(LOOKS):
            await asyncio.wait(running, timeout=seconds / LOOKS, return_when=asyncio.FIRST_EXCEPTION)
            megabytes.append(round((await asyncio.to_thread(take_footprint, pid, url)).rss_bytes / 1e6, 1))
        stop.set()
        await asyncio.gather(*running)
    return megabytes


async def run(clients: int, seconds: float) -> dict[str, Any]:
    queue = int(clients * QUEUE_SHARE)
    with running_sandbox(spares=SPARES, max_queue=queue, max_sessions=MOST_SESSIONS) as (url, pid):
        await put_load(url, clients, min(WARM_UP_SECONDS, seconds / 2), Tally(), pid)
        before = await asyncio.to_thread(settled_footprint, pid, url, _is_at_rest)
        tally = Tally()
        started = time.monotonic()
        memory = await put_load(url, clients, seconds, tally, pid)
        elapsed = time.monotonic() - started
        after = await asyncio.to_thread(
            settled_footprint, pid, url, lambda found: found.countables == before.countables
        )
    return {
        "clients": clients,
        "seconds": round(elapsed, 1),
        "requests": sum(tally.statuses.values()),
        "statuses": dict(tally.statuses),
        "wrong_replies": tally.wrong,
        "examples": tally.examples,
        "without_retry_after": tally.without_retry_after,
        "longest_queue": {"seen": tally.longest_queue, "bound": queue},
        "latencies_ms": tally.latencies(),
        "server_mb": memory,
        "before": asdict(before),
        "after": asdict(after),
        "left_behind": after.changes(before),
        "problems": problems(tally, queue, before, after),
    }


def _is_at_rest(found: Footprint) -> bool:
    return found.sessions == 0 and found.spares == SPARES


def problems(tally: Tally, queue: int, before: Footprint, after: Footprint) -> list[str]:
    """What must not be, each in words; empty when all is well."""
    found = []
    failed = {status: count for status, count in tally.statuses.items() if status == "none" or status >= "500"}
    if failed:
        found.append(f"requests that failed: {failed}")
    if unexpected := set(tally.statuses) - {"200", "201", "204", "409", "429", *failed}:
        found.append(f"statuses that no request of the load asks for: {sorted(unexpected)}")
    if tally.wrong:
        found.append(f"{tally.wrong} wrong replies")
    if tally.longest_queue > queue:
        found.append(f"{tally.longest_queue} cells waited, {queue} may")
    if tally.without_retry_after:
        found.append(f"{tally.without_retry_after} refusals did not say when to come back")
    if after.countables != before.countables:
        found.append(f"left behind: {after.changes(before)}")
    if after.rss_bytes - before.rss_bytes > KEPT_BYTES:
        found.append(f"the server grew by {(after.rss_bytes - before.rss_bytes) / 1e6:.0f} MB")
    return found


def print_results(results: dict[str, Any]) -> None:
    print(f"{results['requests']} requests of {results['clients']} clients in {results['seconds']} s")
    print("statuses: " + ", ".join(f"{status} x {count}" for status, count in sorted(results["statuses"].items())))
    print(f"longest queue: {results['longest_queue']['seen']} of {results['longest_queue']['bound']}")
    print(f"wrong replies: {results['wrong_replies']}\n")
    print(f"{'milliseconds':18} {'n':>8} {'p50':>9} {'p99':>9} {'max':>9}")
    for kind, times in sorted(results["latencies_ms"].items()):
        print(f"{kind:18} {times['n']:8} {times['p50']:9.1f} {times['p99']:9.1f} {times['max']:9.1f}")
    print("\nserver memory during the load, MB: " + ", ".join(map(str, results["server_mb"])))
    print(f"{'':14} {'before':>14} {'after':>14}")
    for name, value in results["before"].items():
        print(f"{name:14} {value!s:>14} {results['after'][name]!s:>14}")
    for line in (*results["examples"], *(f"PROBLEM: {problem}" for problem in results["problems"])):
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON (default: %(default)s)")
    arguments = parser.parse_args()
    machine = describe_machine()
    print("; ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    results = asyncio.run(run(arguments.clients, arguments.seconds))
    print_results(results)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if results["problems"] else 0)


if __name__ == "__main__":
    main()
