"""Memory of processes as the kernel counts it (/proc/PID/smaps_rollup): private, and with a share of what is shared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def private_bytes(pids: Iterable[int]) -> int:
    return sum(_rollup(pid, ("Private_Clean", "Private_Dirty")) for pid in pids)


def proportional_bytes(pids: Iterable[int]) -> int:
    return sum(_rollup(pid, ("Pss",)) for pid in pids)


def _rollup(pid: int, fields: tuple[str, ...]) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0  # it ended meanwhile
    wanted = (line.split() for line in lines if line.split(":")[0] in fields)
    return sum(int(parts[1]) * 1024 for parts in wanted)
