"""The CPUs of a container: its cgroup's quota, never more than the process may run on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.sandbox.cpus import cpu_limit

AVAILABLE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, AVAILABLE),
        ({"cpu.max": "max 100000\n"}, AVAILABLE),
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "100000000 100000\n"}, AVAILABLE),
        ({"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.25),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, AVAILABLE),
    ],
)
def test_the_quota_is_read_as_the_kernel_writes_it(tmp_path: Path, files: dict[str, str], cpus: float) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_limit(tmp_path) == cpus
