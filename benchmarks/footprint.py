"""What a sandbox service holds at one moment, to be compared with what it holds after a load."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.memory import descendants

QUIET_SECONDS: Final = 60.0  # for processes that were told to end, and for spares
STEADY_SECONDS: Final = 1.0
KIBIBYTE: Final = 1024


@dataclass(frozen=True)
class Footprint:
    """Sessions and spares as its metrics say; descriptors by what they are, and `rss_bytes`, of the server alone.
    Zombies are counted as processes too."""

    sessions: int
    spares: int
    processes: int
    zombies: int
    descriptors: dict[str, int]
    rss_bytes: int

    @property
    def countables(self) -> tuple[int, int, int, int, dict[str, int]]:
        """What must be as before to the last one; memory is kept by allocators and is compared with a margin."""
        return self.sessions, self.spares, self.processes, self.zombies, self.descriptors

    def changes(self, earlier: Footprint) -> dict[str, str]:
        """What is not as it was."""
        now, then = asdict(self), asdict(earlier)
        return {name: f"{then[name]} -> {now[name]}" for name in now if now[name] != then[name]}


def take_footprint(pid: int, url: str) -> Footprint:
    metrics = read_metrics(url)
    below = descendants(pid)
    return Footprint(
        sessions=sum(value for name, value in metrics.items() if name.startswith("wasm_sessions{")),
        spares=metrics["wasm_spares"],
        processes=len(below),
        zombies=sum(read_status(child, "State").startswith("Z") for child in below),
        descriptors=count_descriptors(pid),
        rss_bytes=int(read_status(pid, "VmRSS").split()[0]) * KIBIBYTE,
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


def read_metrics(url: str) -> dict[str, int]:
    """Its counts; what has a fraction is cut."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:  # noqa: S310  # our own http address
        lines = response.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: int(float(value)) for name, _, value in samples if value not in ("NaN", "+Inf")}


def count_descriptors(pid: int) -> dict[str, int]:
    states = _tcp_states()
    found: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            kind, _, inode = str(link.readlink()).rstrip("]").partition(":[")
            found[f"tcp {states[inode]}" if inode in states else kind] += 1
    return dict(sorted(found.items()))


def _tcp_states() -> dict[str, str]:
    """The state of each TCP socket of this machine, as the kernel's number in hexadecimal, by inode."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return {fields[9]: fields[3] for fields in map(str.split, lines)}


def read_status(pid: int, field: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")
