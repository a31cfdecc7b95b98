"""Checks of how code runs: in WASM, for a bounded time, with an audit log. By the settings that processes see. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from rlm_operator.checklist.evidence import PlaneEvidence
from rlm_operator.checklist.findings import Findings
from rlm_operator.names import SANDBOX

_COMMAND: Final = ["python", "-m", "runtime.sandbox"]
_PYODIDE: Final = "pyodide"
_LONGEST_CELL_SECONDS: Final = 3600.0
_LONGEST_RUN_SECONDS: Final = 86400.0


def check_wasm(sandbox: PlaneEvidence, inference: PlaneEvidence | None) -> Findings:
    """Sandbox pods run the WASM service with a guest that is a boundary, and the stack sends its code nowhere else."""
    findings = Findings()
    place, container = f"Deployment {sandbox.workload}", sandbox.main_container
    if container is None:
        findings.add(f"has no container {SANDBOX}", place)
        return findings
    command = [*(container.get("command") or ()), *(container.get("args") or ())]
    if command != _COMMAND:
        findings.add(f"container {SANDBOX} runs {' '.join(command) or 'the command of its image'}", place)
    if sandbox.settings.get("SANDBOX_IMAGE") == _PYODIDE:
        findings.add("image pyodide is WASM inside Node, which is no security boundary of its own", place)
    if inference is not None:
        address = inference.settings.get("WASM_SERVICE_URL", "")
        hosts = [(urlsplit(url).hostname or "").split(".")[0] for url in address.split(",")]
        if not all(host in (sandbox.workload, f"{sandbox.workload}-pods") for host in hosts):
            where = address or "nowhere"
            findings.add(f"code goes to {where}, which is not pool {sandbox.workload}", _place(inference))
    return findings


def check_timeouts(planes: list[PlaneEvidence]) -> Findings:
    """A cell ends after at most an hour, a run after at most a day."""
    findings = Findings()
    for plane in planes:
        name, longest = (
            ("SANDBOX_TIMEOUT_SECONDS", _LONGEST_CELL_SECONDS)
            if plane.component == SANDBOX
            else ("RLM_TIMEOUT_SECONDS", _LONGEST_RUN_SECONDS)
        )
        value = plane.settings.get(name, "")
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0
        if not 0 < seconds <= longest:
            findings.add(f"{name} is {value or 'not set'}, not from 0 to {longest:.0f} seconds", _place(plane))
    return findings


def check_audit(planes: list[PlaneEvidence]) -> Findings:
    """Both planes write audit lines."""
    findings = Findings()
    for plane in planes:
        name = "SANDBOX_AUDIT_LOG" if plane.component == SANDBOX else "RLM_AUDIT_LOG"
        if (value := plane.settings.get(name, "")).lower() != "true":
            findings.add(f"{name} is {value or 'not set'}", _place(plane))
    return findings


def _place(plane: PlaneEvidence) -> str:
    return f"Deployment {plane.workload}"
