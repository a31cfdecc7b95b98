"""With nodes beside it, a control plane's pods run; without them they wait again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.controlplane.binaries import PodBinaries
from tests.controlplane.cluster import ControlPlane, create_namespace
from tests.controlplane.eventually import eventually
from tests.controlplane.kubectl import Object
from tests.controlplane.nodes import NODES, SimulatedNodes
from tests.controlplane.test_cluster import deployment

PODS = 2 * NODES


def listens(pid: int) -> bool:
    """On any TCP port."""
    opened = set(open_files(pid))
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines() for name in ("tcp", "tcp6")]
    listening = [row.split()[9] for table in tables for row in table if row.split()[3] == "0A"]
    return any(f"socket:[{inode}]" in opened for inode in listening)


def open_files(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield str(link.readlink())


def running(control_plane: ControlPlane, namespace: str) -> list[Object]:
    return [pod for pod in control_plane.admin.list("pods", namespace) if pod["status"]["phase"] == "Running"]


def test_pods_run_on_every_node_until_the_nodes_stop_and_wait_from_then_on(
    control_plane: ControlPlane, pod_binaries: PodBinaries, tmp_path: Path
) -> None:
    namespace = create_namespace(control_plane.admin, "run")
    with SimulatedNodes(control_plane, pod_binaries, tmp_path / "nodes") as nodes:
        assert not [name for name, pid in nodes.pids.items() if listens(pid)]
        control_plane.admin.apply(deployment("web", namespace, PODS))
        eventually(lambda: len(running(control_plane, namespace)) == PODS, "running pods")
        used = {pod["spec"]["nodeName"] for pod in running(control_plane, namespace)}
        pids = nodes.pids
    assert len(used) == NODES
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]
    control_plane.admin.apply(deployment("late", namespace, 1))
    eventually(lambda: len(control_plane.admin.list("pods", namespace)) == PODS + 1, "another pod")
    assert len(running(control_plane, namespace)) == PODS
    control_plane.admin.run("delete", "nodes", "--all", "--wait=false")
