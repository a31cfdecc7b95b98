"""The pods of the operator's benchmark: they run on simulated nodes, or stay pending as on a cluster without any.

Both the operator's stacks and the bare loop's get the same: one to a replica of each Deployment, ready as soon as it
has a node. What happened is read from the API server's audit log, which costs the API server nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.operator_process import process_memory_mb
from benchmarks.operator_trace import Served
from tests.controlplane.audit import Request
from tests.controlplane.binaries import locate_for_pods
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.nodes import KWOK_USER, SimulatedNodes

CHOICES: Final = ("kwok", "none")
DEPLOYMENTS_PER_STACK: Final = 2
POLL_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 1800.0


@dataclass(frozen=True)
class Pods:
    """`per_stack`: how many run for each stack; 0 where none do."""

    plane: ControlPlane
    per_stack: int
    pids: dict[str, int]

    async def run(self, prefix: str, stacks: int, since: int) -> None:
        """Until the pods of `stacks` in the namespaces `prefix`-* are ready; `since`: a mark of the audit log.

        Raises TimeoutError.
        """
        wanted, deadline = stacks * self.per_stack, time.monotonic() + PATIENCE_SECONDS
        while (seen := len(await asyncio.to_thread(self._ready_since, since, prefix))) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{seen} of {wanted} pods ready after {PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    def say(self, prefix: str, requests: Sequence[Request], served: Sequence[Served]) -> dict[str, float]:
        """Pods that became ready, seconds from the first stack to the last of them, memory of what ran them."""
        times = ready_times(requests, prefix)
        if not times:
            return {"ready": 0}
        seconds = round(max(times) - min(stack.created for stack in served), 1)
        return {"ready": len(times), "seconds": seconds} | {
            f"{name}_mb": process_memory_mb(pid) for name, pid in self.pids.items()
        }

    def _ready_since(self, mark: int, prefix: str) -> list[float]:
        return ready_times(self.plane.audit.writes(user=KWOK_USER, since=mark), prefix)


def ready_times(requests: Sequence[Request], prefix: str) -> list[float]:
    """When each pod became ready, in seconds since the epoch: kwok writes a pod's status once."""
    return [
        request.answered
        for request in requests
        if (request.user, request.resource, request.code) == (KWOK_USER, "pods/status", 200)
        and request.namespace.startswith(f"{prefix}-")
    ]


@contextmanager
def running_pods(plane: ControlPlane, choice: str, replicas: int, folder: Path) -> Iterator[Pods]:
    """`choice` is one of CHOICES; with `replicas` pods to a Deployment."""
    if choice == "none":
        yield Pods(plane, 0, {})
        return
    with SimulatedNodes(plane, locate_for_pods(), folder) as nodes:
        yield Pods(plane, DEPLOYMENTS_PER_STACK * replicas, nodes.pids)
