"""What the cell of a session process has used: running time, CPU and memory, known also when it is killed.

A cell that ends by itself is measured by its own process, which says so in its last message. One that is killed says
nothing, so the server reads its clock in the moment before the kill. Held by `process`, read by `session` for replies
and by `weights` for the CPU of cells that run.

CPU is the process's CPU clock since the cell began (user and kernel, nanoseconds). Memory is the guest's linear memory:
it never shrinks while a process lives, so its size now is its peak, and it is what the memory limit counts. The
resident set would count pages that are shared with the zygote and miss those that were never touched. From outside it
is seen as the growth of the process's data mappings, which are the linear memory and a constant part of the host's.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.sandbox.frames import Head

RESIDENT_PAGES: Final = 1  # fields of /proc/PID/statm (proc_pid_statm(5))
SHARED_PAGES: Final = 2  # of files
DATA_PAGES: Final = 5  # field of /proc/PID/statm: pages of writable private mappings, and the stack
CPU_CLOCK: Final = 2  # linux/posix-timers.h, CPUCLOCK_SCHED: the clock id of a process is (~pid << 3) | 2


@dataclass(frozen=True)
class Usage:
    """Of one cell: seconds it ran, without those suspended; seconds of CPU; bytes of linear memory (0: not known)."""

    ran: float = 0.0
    cpu: float = 0.0
    memory_bytes: int = 0


class Meter:
    """Follows one cell at a time through the heads of a session process."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._host_bytes: int | None = None  # of the data mappings, what is not the guest's
        self._memory_before = 0  # a cell that begins now: what it has at least, if nobody can look when it ends
        self._used = Usage()  # until the cell last went on, or of the cell that ended
        self._started: float | None = None  # while it runs
        self._cpu_started = 0.0
        self._cpu_seen = 0.0  # by the last look: all that is known of a process that somebody else killed

    def follow(self, pid: int, memory_bytes: int | None) -> None:
        """Another process is the head now; `memory_bytes` of linear memory if it is no copy of the one before."""
        self._pid = pid
        if memory_bytes is not None:
            data = _data_bytes(pid)
            self._host_bytes = None if data is None else data - memory_bytes
            self._memory_before = memory_bytes
        else:
            self._memory_before = self._memory_now() or 0

    def inherit(self, source: Meter) -> None:
        """The head is a fork of another session's: what that one's cell has used, this one's has."""
        self._used = source.used()
        self._memory_before = self._used.memory_bytes

    def begin(self, *, afresh: bool) -> None:
        """The head is given work: a cell `afresh`, or the answer for which its suspended cell waits."""
        if afresh:
            self._used = Usage(memory_bytes=self._memory_before)
        self._started = time.perf_counter()
        self._cpu_started = self._cpu_seen = _cpu_seconds(self._pid) or 0.0

    def pause(self, head: Head) -> None:
        """The head says what its cell used, which is suspended or over."""
        if self._started is not None:
            self._started = None
            self._memory_before = int(head.get("memory", 0))
            self._used = Usage(float(head.get("ran", 0)), float(head.get("cpu", 0)), int(head.get("memory", 0)))

    def stop(self) -> None:
        """The cell ends now, by a kill that comes next or that somebody else did."""
        if self._started is not None:
            self._used = self._look()
            self._started = None

    def cpu(self) -> float:
        """CPU seconds of the cell that runs, is suspended, or ended last; cheap."""
        if self._started is None:
            return self._used.cpu
        self._cpu_seen = _cpu_seconds(self._pid) or self._cpu_seen
        return self._used.cpu + self._cpu_seen - self._cpu_started

    def used(self) -> Usage:
        """Of the cell that runs, is suspended, or ended last."""
        return self._used if self._started is None else self._look()

    def _look(self) -> Usage:
        ran = 0.0 if self._started is None else time.perf_counter() - self._started
        return Usage(self._used.ran + ran, self.cpu(), self._memory_now() or self._used.memory_bytes)

    def _memory_now(self) -> int | None:
        """None when the process is gone."""
        data = _data_bytes(self._pid)
        return None if data is None or self._host_bytes is None else data - self._host_bytes


def resident_bytes(pid: int) -> int:
    """Anonymous memory that a process has in use, shared copies included; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return 0
    return (int(fields[RESIDENT_PAGES]) - int(fields[SHARED_PAGES])) * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds(pid: int | None) -> float | None:
    """CPU time of a process; None when it is gone."""
    if pid is None:
        return None
    try:
        return time.clock_gettime((~pid << 3) | CPU_CLOCK)
    except OSError:
        return None


def _data_bytes(pid: int | None) -> int | None:
    """Size of a process's data mappings, which any user may read; None when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[DATA_PAGES])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
