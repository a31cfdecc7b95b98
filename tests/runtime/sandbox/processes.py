"""Looks at processes from outside, through /proc."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

PROC = Path("/proc")
CHUNK = 1 << 22


def descendants(pid: int) -> set[int]:
    """Process ids of all live children of `pid`, at any depth; zombies too, `pid` not."""
    parents = dict(_parents())
    found: set[int] = set()
    while True:
        more = {child for child, parent in parents.items() if parent == pid or parent in found} - found
        if not more:
            return found
        found |= more


def alive(pids: set[int]) -> set[int]:
    """Those that exist and are no zombies."""
    return {pid for pid in pids if status(pid).get("State", "Z")[0] not in "ZX"}


def cpu_ticks(pids: set[int]) -> int:
    """Clock ticks that `pids` have used together, in user and kernel mode."""
    used = 0
    for pid in pids:
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        used += sum(map(int, fields[11:13]))
    return used


def resident_bytes(pid: int) -> int:
    """Memory of `pid` that is there now."""
    return int(status(pid)["VmRSS"].split()[0]) << 10


def nice(pid: int) -> int:
    return int(_read(pid, "stat").rpartition(b")")[2].split()[16])


def peak_resident_bytes(pid: int) -> int:
    """The most memory that `pid` ever had."""
    return int(status(pid)["VmHWM"].split()[0]) << 10


def restart_peak(pid: int) -> None:
    """Let `peak_resident_bytes` begin anew (proc_pid_clear_refs(5))."""
    (PROC / str(pid) / "clear_refs").write_text("5")


def zombies(pids: set[int]) -> set[int]:
    return {pid for pid in pids if status(pid).get("State", "").startswith("Z")}


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status; empty when the process is gone."""
    try:
        text = (PROC / str(pid) / "status").read_text()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def command_line(pid: int) -> bytes:
    return _read(pid, "cmdline")


def environment(pid: int) -> bytes:
    return _read(pid, "environ")


def descriptors(pid: int) -> dict[int, str]:
    """What each descriptor of `pid` leads to."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[int(link.name)] = str(link.readlink())
    return found


def is_zygote(pid: int) -> bool:
    return b"runtime.sandbox.zygote" in command_line(pid) and status(pid).get("NoNewPrivs") == "0"


def is_node(pid: int) -> bool:
    """Of a session of the image `pyodide`."""
    return b"driver.mjs" in command_line(pid)


def data_bytes(pid: int) -> int:
    """Writable private memory of `pid`, used or not; 0 when it is gone."""
    return int(status(pid).get("VmData", "0 kB").split()[0]) << 10


def zygote_of(server: int) -> int:
    """The zygote is a direct child of the server; sessions are its children."""
    (zygote,) = (child for child, parent in _parents() if parent == server and is_zygote(child))
    return zygote


def sessions_of(server: int) -> set[int]:
    """Heads and checkpoints, of sessions and of spares."""
    return {pid for pid in descendants(server) if status(pid).get("NoNewPrivs") == "1"}


def found_in_memory(pid: int, needles: Iterable[bytes]) -> set[bytes]:
    """Those of `needles` that a writable mapping of `pid` holds. Needs the right to read the process's memory."""
    wanted = list(needles)
    overlap = max(map(len, wanted))
    found: set[bytes] = set()
    with contextlib.suppress(ProcessLookupError, FileNotFoundError), (PROC / str(pid) / "mem").open("rb", 0) as memory:
        for start, end in _writable_ranges(pid):
            for position in range(start, end, CHUNK):
                memory.seek(position)
                try:
                    data = memory.read(min(CHUNK + overlap, end - position))
                except OSError:
                    break
                found |= {needle for needle in wanted if needle in data}
    return found


def _writable_ranges(pid: int) -> Iterator[tuple[int, int]]:
    for line in (PROC / str(pid) / "maps").read_text().splitlines():
        addresses, permissions = line.split()[:2]
        if permissions.startswith("rw"):
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)


def _parents() -> Iterator[tuple[int, int]]:
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            parent = status(int(folder.name)).get("PPid")
            if parent is not None:
                yield int(folder.name), int(parent)


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
