"""What runs behind the service once it is started: the zygote with its spares, the sessions, and who watches them.

Made and ended by `service`, which waits for it without being ready.
"""

from __future__ import annotations

import asyncio
from functools import partial

from runtime.sandbox.ledger import Ledger
from runtime.sandbox.memory_guard import MemoryGuard
from runtime.sandbox.memory_meter import find_meter
from runtime.sandbox.registry import Bounds, Registry
from runtime.sandbox.session import State
from runtime.sandbox.settings import SandboxSettings
from runtime.sandbox.spawner import Spawner, ZygoteOptions


def build_spawner(settings: SandboxSettings, program: tuple[str, ...]) -> Spawner:
    """`program` starts sessions of the pool's image."""
    image = settings.guest_image
    options = ZygoteOptions(
        image.name,
        program,
        settings.memory_bytes,
        settings.output_bytes,
        settings.cpu_shares,
        settings.park_seconds,
        image.start_seconds,
    )
    return Spawner(options, settings.spare_count())


class Backend:
    """`spawner` was started."""

    def __init__(self, settings: SandboxSettings, ledger: Ledger, spawner: Spawner) -> None:
        cap = settings.session_cap()
        bounds = Bounds(
            cap,
            settings.max_sessions_per_caller or cap,
            settings.idle_timeout_seconds,
            settings.suspend_timeout_seconds,
            settings.lifetime_seconds,
        )
        self.spawner = spawner
        self.registry = Registry(spawner, ledger, bounds)
        meter, metrics = find_meter(), ledger.metrics
        self.guard = MemoryGuard(meter, self.registry, metrics)
        metrics.missing_measures.set(len(spawner.missing_measures))
        metrics.pod_memory_limit.set(meter.limit)
        metrics.pod_memory.set_function(meter.used)
        # Gauges are read when they are asked for.
        metrics.spares.set_function(lambda: spawner.spares)
        metrics.memory.set_function(self.registry.guest_memory)
        metrics.kept.set_function(self.registry.kept_bytes)
        for state in State:
            metrics.sessions.labels(state.value).set_function(partial(self.registry.count, state))
        self._watches = [asyncio.create_task(watch) for watch in (self.registry.sweep(), self.guard.watch())]

    def close(self) -> None:
        """End the sessions; the spawner is its maker's."""
        for watch in self._watches:
            watch.cancel()
        self.registry.close()
