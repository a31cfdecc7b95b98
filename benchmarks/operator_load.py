"""Puts stacks on an API server: as custom resources for the operator, or, as the bare loop, all their children at once.

The bare loop is what no operator can beat: it knows everything beforehand, reads nothing and applies. Both use the
same client, and apply children with the same account: what an API server spends on a request hangs on whose it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.operator_plan import NAMESPACES, build_children, build_stack
from rlm_operator.cluster import Cluster
from rlm_operator.kinds import ref_of

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Loader:
    """`applier` has the operator's account. `lanes`: requests under way at once. `replicas`: pods of a Deployment."""

    admin: Cluster
    applier: Cluster
    lanes: int
    replicas: int

    def stacks(self, prefix: str, count: int, *, paused: bool = False) -> list[Manifest]:
        """In the namespaces `prefix`-0 to `prefix`-9, in turn."""
        return [
            build_stack(f"s{number:04}", f"{prefix}-{number % NAMESPACES}", self.replicas, paused=paused)
            for number in range(count)
        ]

    async def create(self, stacks: Iterable[Manifest]) -> None:
        """The custom resources alone, in this order as far as `lanes` allow."""
        await self._each(stacks, self.admin.create)

    async def apply_bare(self, stacks: Iterable[Manifest]) -> float:
        """Seconds to create the custom resources and apply all children, one stack after the other in each lane."""

        async def apply_children(resource: Manifest) -> None:
            for child in build_children(resource):
                if child["kind"] == "Secret":
                    await self.applier.create(child)
                else:
                    applied = await self.applier.apply(child)
                    if child["kind"] == "SandboxPool":
                        await apply_children(applied)

        async def one(stack: Manifest) -> None:
            await apply_children(await self.admin.create(stack))

        started = time.perf_counter()
        await self._each(stacks, one)
        return time.perf_counter() - started

    async def edit(self, stack: Manifest, iterations: int) -> None:
        await self.admin.merge(ref_of(stack), {"spec": {"rlm": {"maxIterations": iterations}}})

    async def _each(self, stacks: Iterable[Manifest], action: Callable[[Manifest], Awaitable[Any]]) -> None:
        queue = iter(stacks)

        async def lane() -> None:
            for stack in queue:
                await action(stack)

        await asyncio.gather(*(lane() for _ in range(self.lanes)))
