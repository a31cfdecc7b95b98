"""Figures of what only our service has: no spares, the checkpoint policies, what a large context costs later cells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Figure
from benchmarks.measure import PACE_SECONDS, PACKAGES_CELL, WARM, first_cells, rates, sample, timed

if TYPE_CHECKING:
    from benchmarks.ours import SandboxService
    from benchmarks.peers.peer import Session
    from benchmarks.plan import Plan

CONTEXT_MB: Final = 40
BURST_CELLS: Final = 50
QUIET_SECONDS: Final = 0.1  # between bursts: under `idle` the checkpoint is made then, and only once


def measure_own(plan: Plan, service: SandboxService) -> dict[str, Figure]:
    figures = without_spares(plan, service)
    with _policy(service, "cell"):
        session = service.new_session()
        paced = sample(plan, plan.samples // 2, lambda: timed(lambda: session.run(WARM)), PACE_SECONDS)
        session.close()
        figures |= {"warm_cell_checkpoint_each_ms": paced.figure(), **rates(plan, service, "cell")}
    return {**figures, **context_ratios(plan, service)}


def without_spares(plan: Plan, service: SandboxService) -> dict[str, Figure]:
    bare = type(service)(service.image, spares=0)
    try:
        found: dict[str, Figure] = {
            "first_cell_no_spares_ms": first_cells(plan, bare.bare_session, bare.first_cell).figure()
        }
        if bare.has_packages:
            times = first_cells(plan, bare.bare_session, PACKAGES_CELL)
            found["first_packages_cell_no_spares_ms"] = times.figure()
    finally:
        bare.close()
    return found


def context_ratios(plan: Plan, service: SandboxService) -> dict[str, Figure]:
    """Two sessions take turns, so that noise hits both; one holds a large text."""
    empty, full = service.new_session(), service.new_session()
    full.put("context", ("x" * 99 + "\n") * (CONTEXT_MB * 10_000))
    paced: dict[Session, list[float]] = {empty: [], full: []}
    bursts: dict[Session, list[float]] = {empty: [], full: []}
    for session in (empty, full):
        session.run(WARM)
    for _ in range(plan.bursts * 2):
        for session, times in paced.items():
            time.sleep(PACE_SECONDS)
            times.append(timed(lambda session=session: session.run(WARM)))  # type: ignore[misc]
    for _ in range(plan.bursts):
        for session, times in bursts.items():
            time.sleep(QUIET_SECONDS)
            times.append(timed(lambda session=session: [session.run(WARM) for _ in range(BURST_CELLS)]))  # type: ignore[misc]
    for session in (empty, full):
        session.close()
    return {
        "context_paced_ratio": median(paced[full]) / median(paced[empty]),
        "context_burst_ratio": median(bursts[full]) / median(bursts[empty]),
    }


@contextmanager
def _policy(service: SandboxService, policy: str) -> Iterator[None]:
    usual = service.policy
    service.policy = policy
    try:
        yield
    finally:
        service.policy = usual
