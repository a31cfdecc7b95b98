"""The operator beside a bare loop that applies the same objects to the same API server, in the same run.

    python -m benchmarks.operator --stacks 1000

A control plane of its own is started (built on the first use). Measured: one stack at a time; a burst of stacks with
pools of their own, half of the bare loop before it and half after it; edits of one stack meanwhile; a restart beside
everything; an idle time. Times come from the API server's audit log. The pods of both run on simulated nodes
(`--pods none`: they stay pending); each phase begins when the cluster's controllers have done what the one before gave
them to do.

The control plane has one half of the cores, and who asks it, operator or bare loop, the other half, as on a cluster
(`--cores shared`: all use all).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.machine import describe_machine
from benchmarks.operator_load import Loader
from benchmarks.operator_plan import NAMESPACES, build_stack
from benchmarks.operator_pods import CHOICES, Pods, running_pods
from benchmarks.operator_process import MeasuredOperator, cpu_seconds_of
from benchmarks.operator_trace import (
    Served,
    count_requests,
    edit_latencies,
    is_made,
    say_latencies,
    served_stacks,
    worst_overtaking,
)
from rlm_operator.cluster import Access, open_cluster
from tests.controlplane.binaries import locate
from tests.controlplane.cluster import ControlPlane, create_namespace
from tests.operator.integration.installation import Installation, install

RESULTS: Final = Path(__file__).parent / "results" / "operator.json"
SINGLES: Final = 8
EDIT_PERIOD_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 1800.0
QUIET_SECONDS: Final = 3.0
HEARTBEATS: Final = frozenset({"leases", "nodes", "nodes/status"})
KINDS_PER_STACK: Final = 2
CORES: Final = ("split", "shared")


class Bench:
    """One control plane, the operator, and who asks."""

    def __init__(
        self, plane: ControlPlane, installation: Installation, operator: MeasuredOperator, load: Loader, pods: Pods
    ) -> None:
        self.plane = plane
        self.pods = pods
        self.user = installation.user
        self.operator = operator
        self.load = load

    async def singles(self) -> dict[str, float]:
        """One stack at a time, each when the one before has settled."""
        mark = self.plane.audit.mark()
        create_namespace(self.plane.admin, "single")
        for number in range(SINGLES):
            await self.load.create([build_stack(f"one{number}", "single", self.load.replicas)])
            await self.settled()
        served = served_stacks(self.plane.audit.requests(since=mark), self.user)
        return say_latencies([stack.last - stack.created for stack in served.values()])

    async def bare(self, prefix: str, count: int) -> dict[str, float]:
        """Stacks per second, and the control plane's CPU for each."""
        self._make_namespaces(prefix)
        stacks, mark = self.load.stacks(prefix, count, paused=True), self.plane.audit.mark()
        cpu, own = self._control_cpu(), time.process_time()
        seconds = await self.load.apply_bare(stacks)
        used = {"control_plane_cpu_ms": self._control_cpu() - cpu, "loop_cpu_ms": time.process_time() - own}
        await self.pods.run(prefix, count, mark)
        return {
            "stacks_per_second": round(count / seconds, 2),
            **{what: round(each / count * 1000, 1) for what, each in used.items()},
        }

    def _control_cpu(self) -> float:
        return sum(map(cpu_seconds_of, self.plane.pids))

    async def burst(self, count: int) -> dict[str, Any]:
        """All at once, while somebody edits a stack that was there before."""
        self._make_namespaces("burst")
        edited = build_stack("one0", "single", self.load.replicas)
        mark, cpu, control = self.plane.audit.mark(), self.operator.cpu_seconds(), self._control_cpu()
        children = 0
        creating = asyncio.create_task(self.load.create(self.load.stacks("burst", count)))
        editing = asyncio.create_task(self._edit(edited))
        per_stack = self._children_of_one()
        deadline = time.monotonic() + PATIENCE_SECONDS
        looked = mark
        while children < count * per_stack:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{children} of {count * per_stack} children after {PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
            reached = self.plane.audit.mark()
            children += sum(map(is_made, self.plane.audit.requests(user=self.user, since=looked, until=reached)))
            looked = reached
        used = {
            "operator_cpu_ms": self.operator.cpu_seconds() - cpu,
            "control_plane_cpu_ms": self._control_cpu() - control,
        }
        editing.cancel()
        with suppress(asyncio.CancelledError):
            await editing
        await creating
        await self.pods.run("burst", count, mark)
        await self.settled()
        requests = self.plane.audit.requests(since=mark)
        served = [stack for (_, name), stack in served_stacks(requests, self.user).items() if name.startswith("s")]
        return {
            "stacks": len(served),
            "children": sum(stack.children for stack in served),
            "stacks_per_second": round(len(served) / _span(served), 2),
            "seconds": round(_span(served), 2),
            "overtaken_seconds": round(worst_overtaking(served), 2),
            "edit_seconds": say_latencies(edit_latencies(requests, self.user, ("single", "one0"))),
            **{what: round(each / count * 1000, 1) for what, each in used.items()},
            "pods": self.pods.say("burst", requests, served),
            "requests_per_stack": count_requests(requests, self.user, len(served)),
            "requests_meanwhile": count_requests(
                [each for each in requests if each.answered <= max(stack.last for stack in served)],
                self.user,
                len(served),
            ),
        }

    async def restart(self, resources: int) -> dict[str, Any]:
        """Seconds from the start of the process until every resource was looked at; writes meanwhile."""
        self.operator.stop()
        mark, started = self.plane.audit.mark(), time.perf_counter()
        self.operator.start()
        while self.operator.reconciles() < resources:  # noqa: ASYNC110 - the operator is another process
            await asyncio.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - started
        await self.settled()
        writes = self._writes(mark)
        return {
            "seconds": round(seconds, 1),
            "resources": resources,
            "writes": len(writes),
            "to": sorted({request.resource for request in writes}),
        }

    async def idle(self, seconds: float) -> dict[str, Any]:
        """Writes while nothing happens, those to the Lease apart."""
        mark = self.plane.audit.mark()
        await asyncio.sleep(seconds)
        writes = self._writes(mark)
        return {"seconds": seconds, "writes": len(writes), "to": sorted({request.resource for request in writes})}

    def _writes(self, mark: int) -> list[Any]:
        return [
            request
            for request in self.plane.audit.writes(user=self.user, since=mark)
            if request.resource != "leases" and not request.path.startswith("/apis/authorization.k8s.io")
        ]

    async def _edit(self, stack: dict[str, Any]) -> None:
        iterations = 30
        while True:
            iterations += 1
            await self.load.edit(stack, iterations)
            await asyncio.sleep(EDIT_PERIOD_SECONDS)

    async def settled(self) -> None:
        """Until the operator has written nothing for some seconds."""
        await self._quiet(self._writes)

    async def calm(self) -> None:
        """Until nobody has written anything for some seconds but heartbeats."""
        await self._quiet(
            lambda mark: [each for each in self.plane.audit.writes(since=mark) if each.resource not in HEARTBEATS]
        )

    async def _quiet(self, writes: Callable[[int], Sequence[Any]]) -> None:
        mark, since = self.plane.audit.mark(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            await asyncio.sleep(POLL_SECONDS)
            reached = self.plane.audit.mark()
            if await asyncio.to_thread(writes, mark):
                mark, since = reached, time.monotonic()

    def _children_of_one(self) -> int:
        requests = self.plane.audit.requests(user=self.user)
        return sum(is_made(request) and request.name.partition("-")[0] == "one1" for request in requests)

    def _make_namespaces(self, prefix: str) -> None:
        for number in range(NAMESPACES):
            create_namespace(self.plane.admin, f"{prefix}-{number}")


def _span(served: list[Served]) -> float:
    return max(stack.last for stack in served) - min(stack.created for stack in served)


def halves(choice: str) -> tuple[set[int], set[int]]:
    """The cores of the control plane, and those of who asks it."""
    cores = sorted(os.sched_getaffinity(0))
    if choice == "shared" or len(cores) == 1:
        return set(cores), set(cores)
    return set(cores[: len(cores) // 2]), set(cores[len(cores) // 2 :])


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    of_plane, of_askers = halves(options.cores)
    os.sched_setaffinity(0, of_plane)  # each process that is started from here has the cores of its parent
    with (
        ControlPlane(locate(), folder / "plane") as plane,
        running_pods(plane, options.pods, options.replicas, folder / "nodes") as pods,
    ):
        os.sched_setaffinity(0, of_askers)
        installation = install(plane)
        kubeconfig = plane.service_account_kubeconfig(installation.namespace, installation.service_account)
        operator = MeasuredOperator(kubeconfig, installation.user, folder / "operator.log")
        admin, applier = [await open_cluster(Access(config)) for config in (plane.admin.kubeconfig, kubeconfig)]
        bench = Bench(plane, installation, operator, Loader(admin, applier, options.lanes, options.replicas), pods)
        try:
            return await measure(bench, options)
        finally:
            await admin.close()
            await applier.close()
            if operator.is_running:
                operator.stop()


async def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    count, half = options.stacks, max(1, options.stacks // 2)
    found: dict[str, Any] = {"machine": describe_machine(), "lanes": options.lanes, "replicas": options.replicas}
    found |= {"pods": options.pods, "cores": options.cores}
    bench.operator.start()
    found["single_seconds"] = await bench.singles()
    say("one stack", found["single_seconds"])
    bench.operator.stop()
    await bench.calm()
    bare = [await bench.bare("before", half)]
    say("bare loop before", bare)
    bench.operator.start()
    await bench.calm()
    found["burst"] = await bench.burst(count)
    say("burst", found["burst"])
    found["memory_mb"] = {"after burst": bench.operator.memory_mb()}
    await bench.calm()
    found["restart"] = await bench.restart(KINDS_PER_STACK * (half + count + SINGLES))
    say("restart", found["restart"])
    found["memory_mb"] |= {"after restart": bench.operator.memory_mb(), "peak": bench.operator.memory_mb("VmHWM")}
    found["idle"] = await bench.idle(options.idle)
    say("idle", found["idle"])
    bench.operator.stop()
    await bench.calm()
    bare.append(await bench.bare("after", half))
    found["bare"] = bare
    rate = median(each["stacks_per_second"] for each in bare)
    found["times_bare"] = round(rate / found["burst"]["stacks_per_second"], 2)
    say("bare loop", bare)
    say("burst, in multiples of the bare loop's time", found["times_bare"])
    say("memory, MB", found["memory_mb"])
    return found


def say(what: str, figures: object) -> None:
    print(f"{what}: {json.dumps(figures)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--stacks", type=int, default=200, help="of the burst; each brings a pool (default 200)")
    parser.add_argument("--replicas", type=int, default=1, help="pods of each Deployment (default 1)")
    parser.add_argument("--pods", choices=CHOICES, default=CHOICES[0], help="what runs them (default kwok)")
    parser.add_argument("--cores", choices=CORES, default=CORES[0], help="who has which (default split)")
    parser.add_argument("--lanes", type=int, default=8, help="requests of the load under way at once (default 8)")
    parser.add_argument("--idle", type=float, default=60, help="seconds without anything to do (default 60)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = asyncio.run(run(options, Path(folder)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
