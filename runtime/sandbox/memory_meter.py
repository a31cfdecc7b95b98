"""How much memory this container may use, and how much it uses now: what the kernel would kill it for.

Asked by `settings` for the session cap and by `memory_guard` many times a second, so a reading costs some 30 µs.

Sources: memory.max and memory.current of cgroup v2 (kernel: admin-guide/cgroup-v2), their namesakes of v1, and
/proc/meminfo where no container limits anything.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CGROUPS: Final = Path("/proc/self/cgroup")
MEMINFO: Final = Path("/proc/meminfo")
TOTAL_AND_AVAILABLE: Final = re.compile(rb"MemTotal:\s+(\d+) kB.*\nMemAvailable:\s+(\d+) kB", re.DOTALL)
CONTAINER_SHARE: Final = 0.85  # of the limit: the rest is for what grows between two readings
MACHINE_SHARE: Final = 0.95  # other programs use the machine too, and it swaps before it kills


class MemoryMeter(Protocol):
    """`limit` and `used` in bytes; `share` of the limit may be used."""

    @property
    def limit(self) -> int: ...

    @property
    def share(self) -> float: ...

    def used(self) -> int: ...


@dataclass(frozen=True)
class CgroupMeter:
    """`used` leaves out what the kernel gives back by itself (the page cache of files that nobody reads)."""

    limit: int
    usage: Path
    statistics: Path
    inactive_file: str
    share: float = CONTAINER_SHARE

    def used(self) -> int:
        used = int(self.usage.read_bytes())
        if used <= self.limit * self.share:
            return used
        lines = (line.split() for line in self.statistics.read_text(encoding="ascii").splitlines())
        return used - next((int(value) for name, value in lines if name == self.inactive_file), 0)


@dataclass(frozen=True)
class MachineMeter:
    limit: int
    share: float = MACHINE_SHARE

    def used(self) -> int:
        found = TOTAL_AND_AVAILABLE.search(MEMINFO.read_bytes())
        if found is None:
            raise RuntimeError(f"{MEMINFO} has no MemTotal and MemAvailable; a Linux of 2014 or later is needed")
        return (int(found[1]) - int(found[2])) << 10


def find_meter(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> MemoryMeter:
    """That of the smallest limit which holds for this process, its cgroup's and those above it; else the machine's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    meters = [meter for folder in _folders(cgroups, own) if (meter := _meter(folder)) is not None]
    smallest = min(meters, key=lambda meter: meter.limit, default=None)
    return smallest if smallest is not None and smallest.limit < machine else MachineMeter(machine)


def _folders(cgroups: Path, own: Path) -> list[Path]:
    """Of this process, innermost first. In a container the root is often its own cgroup, whatever its path says."""
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        lines = []
    found: list[Path] = []
    for _, controllers, path in lines:
        root = cgroups if controllers == "" else cgroups / "memory"
        if controllers == "" or "memory" in controllers.split(","):
            folder = Path(path.lstrip("/"))
            found += [root / part for part in (folder, *folder.parents)]
    return found or [cgroups, cgroups / "memory"]


def _meter(folder: Path) -> CgroupMeter | None:
    for limit, usage, inactive_file in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            text = (folder / limit).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit() and (folder / usage).exists():
            return CgroupMeter(int(text), folder / usage, folder / "memory.stat", inactive_file)
    return None
