"""Asks cyclonus, a simulator of NetworkPolicies by other people, which connections a set of policies lets through.

It knows nothing of our builders: it reads policies as the API server would get them. Tests use it to compare what was
rendered with what is meant. `binaries` builds it, once.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.controlplane.binaries import build, find
from tests.controlplane.errors import EvaluatorError
from tests.controlplane.programs import CYCLONUS

_VERDICT: Final = re.compile(r"^\| IS ALLOWED\? +\| +(TRUE|FALSE) ", re.M)
TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True)
class Endpoint:
    """A pod, or with an empty `namespace` an address outside of the cluster."""

    name: str
    ip: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    port_names: Mapping[int, str] = field(default_factory=dict, hash=False)

    def peer(self) -> dict[str, Any]:
        """A namespace has the label that the API server gives every one."""
        inside = {
            "PodLabels": dict(self.labels),
            "NamespaceLabels": {"kubernetes.io/metadata.name": self.namespace},
            "Namespace": self.namespace,
        }
        return {"Internal": inside if self.namespace else None, "IP": self.ip}


@dataclass(frozen=True)
class Connection:
    """One attempt."""

    source: Endpoint
    destination: Endpoint
    port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.source.name} -> {self.destination.name}:{self.port}/{self.protocol}"


def find_allowed(
    policies: Sequence[Mapping[str, Any]], connections: Sequence[Connection], folder: Path
) -> set[Connection]:
    """Those of `connections` that `policies` let through. `folder` is for its files. Raises EvaluatorError."""
    policy_folder = folder / "policies"
    policy_folder.mkdir()
    for number, policy in enumerate(policies):
        (policy_folder / f"{number}.json").write_text(json.dumps(policy))
    traffic = [
        {
            "Source": connection.source.peer(),
            "Destination": connection.destination.peer(),
            "ResolvedPort": connection.port,
            "ResolvedPortName": connection.destination.port_names.get(connection.port, ""),
            "Protocol": connection.protocol,
        }
        for connection in connections
    ]
    (folder / "traffic.json").write_text(json.dumps(traffic))
    verdicts = _ask(policy_folder, folder / "traffic.json")
    if len(verdicts) != len(connections):
        raise EvaluatorError(f"cyclonus judged {len(verdicts)} of {len(connections)} connections")
    return {connection for connection, is_allowed in zip(connections, verdicts, strict=True) if is_allowed}


def _ask(policies: Path, traffic: Path) -> list[bool]:
    program = find(CYCLONUS) or build(CYCLONUS)
    options = ["analyze", "--policy-path", str(policies), "--mode", "query-traffic", "--traffic-path", str(traffic)]
    done = subprocess.run([program, *options], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise EvaluatorError(f"cyclonus ended with status {done.returncode}: {done.stderr[-2000:]}")
    return [word == "TRUE" for word in _VERDICT.findall(done.stdout)]
