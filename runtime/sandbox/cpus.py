"""How many CPUs this container may use. Read by `settings` (cells at once) and `weights` (is there contention?)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")


def cpu_limit(cgroup: Path = CGROUP) -> float:
    """The cgroup's quota (v2, v1) if there is one, in CPUs; at most the CPUs that this process may run on."""
    available = float(len(os.sched_getaffinity(0)))
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    return available if quota is None else min(available, quota)


def _quota_v2(cgroup: Path) -> float | None:
    """`cpu.max` holds `QUOTA PERIOD` in microseconds, or `max PERIOD`."""
    words = _words(cgroup / "cpu.max")
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0] != "max" else None


def _quota_v1(cgroup: Path) -> float | None:
    """-1 is no quota."""
    quota, period = _words(cgroup / "cpu/cpu.cfs_quota_us"), _words(cgroup / "cpu/cpu.cfs_period_us")
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except OSError:
        return []
