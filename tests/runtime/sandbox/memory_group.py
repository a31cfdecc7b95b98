"""A memory cgroup of the test's own: what a container's memory limit is to the processes in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOTS: Final = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))  # v1, v2
SECONDS: Final = 30.0


@dataclass(frozen=True)
class MemoryGroup:
    folder: Path

    def join(self) -> None:
        """Move the calling process into it."""
        (self.folder / "cgroup.procs").write_text("0")

    def kills(self) -> int:
        """How often the kernel killed a process of the group because it ran out of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(FileNotFoundError):
                lines = dict(line.split() for line in (self.folder / name).read_text().splitlines())
                return int(lines["oom_kill"])
        raise AssertionError(f"{self.folder} counts no kills")


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """A group with a limit of `limit` bytes; skips where cgroups cannot be made (no root, or a read-only mount)."""
    root = next((root for root in ROOTS if (root / "cgroup.procs").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("memory limits: no cgroup can be made here")
    folder = root / f"rlm-test-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir()
    try:
        names = ("memory.max", "memory.limit_in_bytes")
        next(folder / name for name in names if (folder / name).exists()).write_text(str(limit))
        yield MemoryGroup(folder)
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Its processes have been told to end, which takes a moment."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
