"""Figures of what only our service has: uploaded files, many runs at once, and what a turn costs each of its planes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from benchmarks.figures import Figure
from benchmarks.memory import descendants, proportional_bytes
from benchmarks.model_control import SUB_MODEL
from benchmarks.runs import CELL, COUNT, DONE, large_text

if TYPE_CHECKING:
    from benchmarks.model_control import ModelControl
    from benchmarks.run_plan import RunPlan
    from benchmarks.stack import Ours

TICK: Final = 0.01  # seconds; what /proc counts CPU time in
LOOK_SECONDS: Final = 0.2
MEMORY_LOOK_SECONDS: Final = 5.0  # the kernel walks all pages of all sessions for it, which is a good part of a second


def measure_own(ours: Ours, plan: RunPlan, model: ModelControl) -> dict[str, Figure]:
    return {
        **bare_batch(ours, plan, model),
        **turn_costs(ours, plan, model),
        **file_questions(ours, plan, model),
        **many_runs(ours, plan, model),
    }


def bare_batch(ours: Ours, plan: RunPlan, model: ModelControl) -> dict[str, Figure]:
    """The calls of a batch without us: a loop around aiohttp, with as many in flight. What model and machine allow."""
    model.follow(sub_latency=plan.batch_latency)
    times = asyncio.run(_bare_batches(model.url, plan, ours.batch_cap))
    return {"bare_batch_s": {"median": median(times), "min": min(times), "n": len(times)}}


async def _bare_batches(url: str, plan: RunPlan, cap: int) -> list[float]:
    async with aiohttp.ClientSession() as http:

        async def ask(prompts: Iterator[int]) -> None:
            for number in prompts:
                asked = {"model": SUB_MODEL, "messages": [{"role": "user", "content": f"p{number}"}]}
                async with http.post(f"{url}/v1/chat/completions", json=asked) as reply:
                    assert (await reply.json())["choices"]

        async def ask_all() -> float:
            prompts = iter(range(plan.batch))
            started = time.perf_counter()
            await asyncio.gather(*(ask(prompts) for _ in range(cap)))
            return time.perf_counter() - started

        return [await ask_all() for _ in range(plan.repeats)]


def turn_costs(ours: Ours, plan: RunPlan, model: ModelControl) -> dict[str, Figure]:
    """CPU time of each process per turn, over as many turns as a long run of each repeat has."""
    model.follow(turns=[CELL] * (plan.iterations - 1) + [DONE])
    before = cpu_seconds([ours.pid]), cpu_seconds([ours.sandbox_pid, *descendants(ours.sandbox_pid)])
    for _ in range(plan.repeats):
        ours.ask("")
    after = cpu_seconds([ours.pid]), cpu_seconds([ours.sandbox_pid, *descendants(ours.sandbox_pid)])
    turns = plan.iterations * plan.repeats
    return {
        "cpu_per_iteration_ms": (after[0] - before[0]) / turns * 1e3,
        "cpu_per_iteration_sandbox_ms": (after[1] - before[1]) / turns * 1e3,
    }


def file_questions(ours: Ours, plan: RunPlan, model: ModelControl) -> dict[str, Figure]:
    model.follow(turns=[COUNT, DONE])
    text = large_text(plan)
    started = time.perf_counter()
    file = ours.upload(text)
    upload = time.perf_counter() - started
    first = _seconds(ours, {"files": [file]})
    again = [_seconds(ours, {"files": [file]}) for _ in range(plan.repeats)]
    empty = [_seconds(ours, {}) for _ in range(plan.repeats)]
    return {
        "upload_s": upload,
        "file_question_s": first,
        "file_again_s": {"median": median(again), "min": min(again), "n": len(again)},
        "file_more_s": median(again) - median(empty),
    }


def _seconds(ours: Ours, body: dict[str, Any]) -> float:
    started = time.perf_counter()
    assert ours.post("/rlm/v1/runs", {"query": "What is there?", **body})["answer"] == "done"
    return time.perf_counter() - started


def many_runs(ours: Ours, plan: RunPlan, model: ModelControl) -> dict[str, Figure]:
    """All clients at once, each several runs of three turns one after the other."""
    model.follow(turns=[CELL, CELL, DONE])
    idle = rss_megabytes(ours.pid)
    return {"many_idle_rss_mb": idle, **asyncio.run(_many(ours, plan))}


async def _many(ours: Ours, plan: RunPlan) -> dict[str, Figure]:
    largest = {"rss": 0.0, "sandbox": 0.0}
    seconds: list[float] = []
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(ours.url, connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:

        async def client() -> None:
            for _ in range(plan.runs_each):
                started = time.perf_counter()
                async with http.post("/rlm/v1/runs", json={"query": "What is there?"}) as response:
                    assert response.status == 200, await response.text()
                    assert (await response.json())["answer"] == "done"
                seconds.append(time.perf_counter() - started)

        async def look_at_service() -> None:
            while True:
                largest["rss"] = max(largest["rss"], rss_megabytes(ours.pid))
                await asyncio.sleep(LOOK_SECONDS)

        async def look_at_sandbox() -> None:
            while True:
                pids = [ours.sandbox_pid, *await asyncio.to_thread(descendants, ours.sandbox_pid)]
                memory = await asyncio.to_thread(proportional_bytes, pids)
                largest["sandbox"] = max(largest["sandbox"], memory / 1e6)
                await asyncio.sleep(MEMORY_LOOK_SECONDS)

        looking = [asyncio.create_task(look()) for look in (look_at_service, look_at_sandbox)]
        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(plan.clients)))
        elapsed = time.perf_counter() - started
        for look in looking:
            look.cancel()
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {
        "many_runs_per_second": len(seconds) / elapsed,
        "many_p50_s": cuts[49],
        "many_p99_s": cuts[98],
        "many_rss_mb": largest["rss"],
        "many_sandbox_mb": largest["sandbox"],
    }


def cpu_seconds(pids: list[int]) -> float:
    """User and kernel time of these processes and of their children that have ended."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total * TICK


def rss_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1e3
