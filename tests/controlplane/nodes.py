"""Nodes for a control plane whose pods are to run: kube-scheduler places them, kwok plays the kubelets.

The operator's benchmark and tests that need many pods, or whole lives of pods, start it beside a `ControlPlane`. No
container runs: kwok writes the status of nodes and pods as kubelets would, so Deployments roll, Services get endpoints
and deleted pods go. Tests that say themselves what becomes of a pod do without.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.controlplane.binaries import PodBinaries
from tests.controlplane.cluster import START_SECONDS, ControlPlane
from tests.controlplane.errors import StartError
from tests.controlplane.kubectl import Object
from tests.controlplane.process import Process

CONFIGURATION: Final = Path(__file__).parent / "kwok.yaml"
NODES: Final = 3
KWOK_USER: Final = "kwok"
"""In the audit log."""


class SimulatedNodes:
    """A context manager beside a control plane that is up; its `count` nodes are ready between enter and exit.

    kwok gives each room for 1,000 CPUs, 1 TiB and a million pods, in a zone of its own.
    """

    def __init__(self, plane: ControlPlane, binaries: PodBinaries, folder: Path, count: int = NODES) -> None:
        self._plane = plane
        self._binaries = binaries
        self._log = folder
        self._count = count
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """By the program's name."""
        return {process.name: process.pid for process in self._processes}

    def stop(self) -> None:
        """Ends the programs; the Node objects stay, as those of machines that lost power."""
        for process in reversed(self._processes):
            process.stop()

    def _start(self) -> None:
        self._log.mkdir(parents=True)
        self._plane.admin.apply(build_node(number) for number in range(self._count))
        self._run(
            self._binaries.kube_scheduler,
            f"--kubeconfig={self._plane.client_kubeconfig('system:kube-scheduler')}",
            "--secure-port=0",
            "--leader-elect=false",
        )
        kwok = self._run(
            self._binaries.kwok,
            f"--kubeconfig={self._plane.client_kubeconfig(KWOK_USER, 'system:masters')}",
            f"--config={CONFIGURATION}",
        )
        kwok.wait_until(self._are_ready, START_SECONDS, "ready nodes")

    def _run(self, program: Path, *flags: str) -> Process:
        process = Process(program.name, [program, *flags], self._log / f"{program.name}.log")
        self._processes.append(process)
        return process

    def _are_ready(self) -> bool:
        for process in self._processes:
            if process.returncode is not None:
                raise StartError(f"{process.name} ended with status {process.returncode}\n{process.log_tail()}")
        nodes = self._plane.admin.list("nodes")
        return len(nodes) >= self._count and all(_takes_pods(node) for node in nodes)


def build_node(number: int) -> Object:
    name = f"node-{number}"
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": f"z{number}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def _takes_pods(node: Object) -> bool:
    """Ready, and no longer tainted as not ready."""
    conditions = {one["type"]: one["status"] for one in node.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")
