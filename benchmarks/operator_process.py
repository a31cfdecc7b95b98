"""The operator as a process whose CPU, memory and work can be read."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.operator.integration.operator_process import OperatorProcess


def cpu_seconds_of(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class MeasuredOperator(OperatorProcess):
    """CPU counts over restarts."""

    _ended_cpu_seconds = 0.0

    def stop(self) -> int:
        self._ended_cpu_seconds = self.cpu_seconds()
        return super().stop()

    def cpu_seconds(self) -> float:
        return self._ended_cpu_seconds + cpu_seconds_of(self.pid)

    def memory_mb(self, field: str = "VmRSS") -> float:
        """Resident memory; `VmHWM` is its peak."""
        return process_memory_mb(self.pid, field)

    def reconciles(self) -> int:
        """Since its start."""
        families = text_string_to_metric_families(self.fetch("/metrics"))
        samples = (sample for family in families for sample in family.samples)
        return int(sum(sample.value for sample in samples if sample.name == "rlm_operator_reconciles_total"))


def process_memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Of any process, as the kernel says it in `field`."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise ValueError(f"no {field} in the status of process {pid}")
