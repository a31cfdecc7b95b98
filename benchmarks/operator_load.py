"""Puts stacks on an API server: as custom resources for the operator, or, as the bare loop, all their children at once.

The bare loop is what no operator can beat: it knows everything beforehand, reads nothing and applies. Both use the
same client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.operator_plan import NAMESPACES, build_children, build_stack
from rlm_operator.cluster import Cluster
from rlm_operator.kinds import Ref, ref_of

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Loader:
    """`lanes`: requests under way at once. `replicas`: pods of each Deployment."""

    admin: Cluster
    lanes: int
    replicas: int

    def stacks(self, prefix: str, count: int, first: int = 0) -> list[Manifest]:
        """In the namespaces `prefix`-0 to `prefix`-9, in turn."""
        return [
            build_stack(f"s{number:04}", f"{prefix}-{number % NAMESPACES}", self.replicas)
            for number in range(first, first + count)
        ]

    async def create(self, stacks: Iterable[Manifest]) -> None:
        """The custom resources alone, in this order as far as `lanes` allow."""
        await self._each(stacks, self.admin.create)

    async def apply_bare(self, stacks: Iterable[Manifest]) -> float:
        """Seconds to create the custom resources and apply all children, one stack after the other in each lane."""

        async def one(stack: Manifest) -> None:
            await self.admin.create(stack)
            for child in build_children(stack):
                await self.admin.apply(child)

        started = time.perf_counter()
        await self._each(stacks, one)
        return time.perf_counter() - started

    async def delete(self, stacks: Iterable[Manifest]) -> None:
        """The custom resources, and what the bare loop made as their pools; other children stay."""

        async def one(stack: Manifest) -> None:
            for kind in ("RLMStack", "SandboxPool"):
                ref = Ref(kind, stack["metadata"]["namespace"], stack["metadata"]["name"])
                found = await self.admin.fetch(ref)
                await self.admin.delete(ref, found["metadata"]["uid"])

        await self._each(stacks, one)

    async def edit(self, stack: Manifest, iterations: int) -> None:
        await self.admin.merge(ref_of(stack), {"spec": {"rlm": {"maxIterations": iterations}}})

    async def _each(self, stacks: Iterable[Manifest], action: Callable[[Manifest], Awaitable[Any]]) -> None:
        queue = iter(stacks)

        async def lane() -> None:
            for stack in queue:
                await action(stack)

        await asyncio.gather(*(lane() for _ in range(self.lanes)))
