"""A pytest plugin that runs everything with one CPU: `pytest -p tests.runtime.sandbox.cpu_quota …` (`make test-quota`).

The run joins a control group with a quota of one CPU, as a container with `limits: {cpu: 1}` has it; where no group can
be made (not root, or a read-only mount) it is bound to one CPU instead. Nothing else is different.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

CGROUPS: Final = Path("/sys/fs/cgroup")
PERIOD: Final = 100_000  # microseconds
NAME: Final = f"one-cpu-{os.getpid()}"


@contextmanager
def _joined(parent: Path, settings: dict[str, str]) -> Iterator[None]:
    """A new group below `parent` that holds this process and all that it starts."""
    group = parent / NAME
    group.mkdir()
    try:
        for name, value in settings.items():
            (group / name).write_text(value)
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (parent / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


@contextmanager
def one_cpu() -> Iterator[str]:
    """While inside, this process and its children share one CPU; says how."""
    version_1, version_2 = CGROUPS / "cpu", CGROUPS
    if os.access(version_1 / "cgroup.procs", os.W_OK) and (version_1 / "cpu.cfs_quota_us").exists():
        with _joined(version_1, {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(PERIOD)}):
            yield "a quota of one CPU (cgroup v1)"
    elif os.access(version_2 / "cgroup.procs", os.W_OK) and "cpu" in _controllers(version_2):
        with _joined(version_2, {"cpu.max": f"{PERIOD} {PERIOD}"}):
            yield "a quota of one CPU (cgroup v2)"
    else:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        yield "one CPU of several, without a quota: no control group can be made here"
        os.sched_setaffinity(0, before)


def _controllers(group: Path) -> list[str]:
    file = group / "cgroup.subtree_control"
    return file.read_text(encoding="ascii").split() if file.exists() else []


HELD: Final = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    stack = ExitStack()
    config.stash[HELD] = stack.enter_context(one_cpu())
    config.add_cleanup(stack.close)


def pytest_report_header(config: pytest.Config) -> str:
    return f"cpu: {config.stash[HELD]}"
