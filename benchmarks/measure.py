"""Measures one system and writes its figures as JSON: `python -m benchmarks.measure SYSTEM PLAN FILE`.

Started by `benchmarks.sandbox` for each system, in the interpreter that has it; the same code drives all of them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure, Times, rate_key
from benchmarks.memory import descendants, private_bytes, proportional_bytes
from benchmarks.peers.peer import Peer, Session
from benchmarks.plan import Plan
from benchmarks.programs import PACKAGES, PLAIN
from benchmarks.systems import open_system

PACE_SECONDS: Final = 0.03
WARM: Final = "x = 40 + 2"
PACKAGES_CELL: Final = (
    "import numpy as np, pandas as pd\nprint(int(np.arange(10).sum()), len(pd.DataFrame({'a': [1, 2]})))"
)
KILL_SECONDS: Final = 0.05
MEGABYTE: Final = 1_000_000
START_SECONDS: Final = 120.0
CREATORS: Final = 8  # threads that make the live sessions


def timed(action: Callable[[], Any]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e3


def sample(plan: Plan, count: int, action: Callable[[], float], pace: float = 0.0) -> Times:
    """Up to `count` of them, as many as fit the plan's time."""
    samples: list[float] = []
    end = time.perf_counter() + plan.seconds
    while len(samples) < count and (len(samples) < plan.fewest or time.perf_counter() < end):
        samples.append(action())
        if pace:
            time.sleep(pace)
    return Times(samples)


def first_cells(plan: Plan, new_session: Callable[[], Session], code: str) -> Times:
    """Paced, so that a session that waits ready is there if the system has such."""

    def first() -> float:
        started = time.perf_counter()
        session = new_session()
        session.run(code)
        elapsed = (time.perf_counter() - started) * 1e3
        session.close()
        return elapsed

    return sample(plan, plan.samples, first, PACE_SECONDS)


def one_session(plan: Plan, peer: Peer) -> dict[str, Figure]:
    session = peer.new_session()
    session.run(WARM)
    figures: dict[str, Figure] = {
        "warm_cell_ms": sample(plan, plan.samples, lambda: timed(lambda: session.run(WARM))).figure(),
        "warm_cell_paced_ms": sample(
            plan, plan.samples // 2, lambda: timed(lambda: session.run(WARM)), PACE_SECONDS
        ).figure(),
        "host_call_ms": Times(session.calls(plan.samples)).figure(),
    }
    for megabytes in (1, 40):
        text = ("x" * 99 + "\n") * (megabytes * MEGABYTE // 100)
        into = sample(plan, plan.transfers, lambda text=text: timed(lambda: session.put("context", text)))  # type: ignore[misc]
        out = sample(plan, plan.transfers, lambda: timed(lambda: session.get("context")))
        assert session.get("context") == text
        figures |= {f"put_{megabytes}mb_ms": into.figure(), f"get_{megabytes}mb_ms": out.figure()}
    session.close()
    return figures


def kills(plan: Plan, peer: Peer) -> dict[str, Figure]:
    """From the moment when the system has ended an endless loop to the end of the next good cell."""
    session = peer.bare_session()
    intact = True

    def recovery() -> float:
        nonlocal session, intact
        session.run("def f(): return 7")
        session.hang(KILL_SECONDS)
        started = time.perf_counter()
        session = session.recovered()
        try:
            intact &= session.run("print(f())") == "7\n"
        except Exception:  # noqa: BLE001  # whatever it says of a name that is gone
            intact = False
        return (time.perf_counter() - started) * 1e3

    times = sample(plan, plan.kills, recovery)
    session.close()
    return {"after_kill_ms": times.figure(), "state_after_kill": intact}


def memory(plan: Plan, peer: Peer) -> dict[str, Figure]:
    """MB per idle session that has run a cell."""
    count = min(plan.memory_sessions, peer.most_sessions)
    private, proportional = _memory_now(peer)
    sessions = [peer.new_session() for _ in range(count)]
    for session in sessions:
        session.run(PACKAGES_CELL if peer.has_packages else WARM)
    then_private, then_proportional = _memory_now(peer)
    for session in sessions:
        session.close()
    return {
        "memory_private_mb": (then_private - private) / count / 1e6,
        "memory_proportional_mb": (then_proportional - proportional) / count / 1e6,
    }


def _memory_now(peer: Peer) -> tuple[int, int]:
    peer.settle()
    pids = [pid for root in peer.processes() for pid in (root, *descendants(root))]
    return private_bytes(pids), proportional_bytes(pids)


def rates(plan: Plan, peer: Peer, policy: str | None = None) -> dict[str, Figure]:
    """Cells per second by number of clients."""
    return {
        rate_key(clients, policy): rate(peer, clients, plan.load_seconds)
        for clients in plan.clients
        if clients <= peer.most_sessions
    }


def rate(peer: Peer, clients: int, seconds: float) -> float:
    """Each client in a session of its own, back to back."""
    sessions = [peer.new_session() for _ in range(clients)]
    begin, stop = threading.Barrier(clients + 1), threading.Event()

    def client(session: Session) -> int:
        session.run(WARM)
        begin.wait()
        done = 0
        while not stop.is_set():
            session.run(WARM)
            done += 1
        return done

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client, session) for session in sessions]
        begin.wait(timeout=START_SECONDS)
        started = time.perf_counter()
        time.sleep(seconds)
        stop.set()
        done = sum(each.result() for each in running)
        elapsed = time.perf_counter() - started
    for session in sessions:
        session.close()
    return done / elapsed


def live(plan: Plan, peer: Peer) -> dict[str, Figure]:
    """As many sessions as planned (or fit), one cell in each, what they take and how fast a cell is then."""
    count = min(plan.live_sessions, peer.most_sessions)
    before = _memory_now(peer)[1]

    def make(_: int) -> Session:
        session = peer.new_session()
        session.run(WARM)
        return session

    with ThreadPoolExecutor(CREATORS) as pool:
        started = time.perf_counter()
        sessions = list(pool.map(make, range(count)))
        created = time.perf_counter() - started
        each = (_memory_now(peer)[1] - before) / count / 1e6
        started = time.perf_counter()
        list(pool.map(lambda session: session.run(WARM), sessions))
        ran = time.perf_counter() - started
        warm = sample(plan, plan.samples, lambda: timed(lambda: sessions[count // 2].run(WARM)))
        list(pool.map(lambda session: session.close(), sessions))
    return {
        "live_sessions": count,
        "live_created_per_second": count / created,
        "live_proportional_mb": each,
        "live_cells_per_second": count / ran,
        "live_warm_cell_ms": warm.figure(),
    }


def program_times(plan: Plan, peer: Peer) -> dict[str, dict[str, Any]]:
    """Best milliseconds of each program and what it printed, or the error of one that the system cannot run."""
    session = peer.new_session()
    found: dict[str, dict[str, Any]] = {}
    for name, code in {**PLAIN, **(PACKAGES if peer.has_packages else {})}.items():
        try:
            printed = session.run(code)
            found[name] = {"ms": _best(session, code, plan.repeats), "printed": printed}
        except Exception as error:  # noqa: BLE001  # each system has errors of its own
            found[name] = {"error": str(error)[:300]}
            session.close()
            session = peer.new_session()
    session.close()
    return found


def _best(session: Session, code: str, repeats: int) -> float:
    return min(timed(lambda: session.run(code)) for _ in range(repeats))


def measure(peer: Peer, plan: Plan) -> dict[str, Any]:
    figures: dict[str, Figure] = {}
    if peer.has_packages:
        figures["first_packages_cell_ms"] = first_cells(plan, peer.bare_session, PACKAGES_CELL).figure()
    figures["first_cell_ms"] = first_cells(plan, peer.bare_session, peer.first_cell).figure()
    for part in (one_session, kills, memory, rates, live):
        figures |= part(plan, peer)
    return {"figures": figures, "programs": program_times(plan, peer)}


def main() -> None:
    name, plan, file = sys.argv[1], Plan.load(sys.argv[2]), Path(sys.argv[3])
    with open_system(name) as peer:
        found = {"name": peer.name, "about": asdict(peer.about()), **measure(peer, plan)}
        found["figures"] |= peer.own_figures(plan)
    file.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
