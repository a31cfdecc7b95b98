"""What a sandbox service holds at one moment, to be compared with what it holds after a load."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.memory import descendants

QUIET_SECONDS: Final = 60.0  # for processes that were told to end, and for spares
STEADY_SECONDS: Final = 1.0
KIBIBYTE: Final = 1024


@dataclass(frozen=True)
class Footprint:
    """`sessions` as its metrics say; `rss_bytes` of the server alone; zombies are counted as processes too."""

    sessions: int
    processes: int
    zombies: int
    descriptors: int
    rss_bytes: int

    @property
    def countables(self) -> tuple[int, int, int, int]:
        """What must be as before to the last one; memory is kept by allocators and is compared with a margin."""
        return self.sessions, self.processes, self.zombies, self.descriptors

    def minus(self, earlier: Footprint) -> dict[str, int]:
        now, then = asdict(self), asdict(earlier)
        return {name: now[name] - then[name] for name in now}


def take_footprint(pid: int, url: str) -> Footprint:
    below = descendants(pid)
    return Footprint(
        sessions=_sessions(url),
        processes=len(below),
        zombies=sum(_status(child, "State").startswith("Z") for child in below),
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208  # links that come and go
        rss_bytes=int(_status(pid, "VmRSS").split()[0]) * KIBIBYTE,
    )


def settled_footprint(
    pid: int, url: str, enough: Callable[[Footprint], bool], seconds: float = QUIET_SECONDS
) -> Footprint:
    """The first that is `enough` and stays the same for a moment, else the last within `seconds`."""
    end = time.monotonic() + seconds
    found, since = take_footprint(pid, url), time.monotonic()
    while time.monotonic() < end:
        if enough(found) and time.monotonic() - since > STEADY_SECONDS:
            return found
        time.sleep(0.1)
        latest = take_footprint(pid, url)
        if latest.countables != found.countables:
            since = time.monotonic()
        found = latest
    return found


def _sessions(url: str) -> int:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:  # noqa: S310  # our own http address
        lines = response.read().decode().splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith("wasm_sessions{"))


def _status(pid: int, field: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")
