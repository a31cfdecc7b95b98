"""The control plane for pytest. A conftest.py imports what it needs; each such folder gets a control plane of its own.

Separate control planes keep audit logs apart: what the operator asked for is not mixed with what other tests did.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.binaries import PodBinaries, locate, locate_for_pods
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.nodes import SimulatedNodes


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kube-controller-manager, up for the session."""
    with ControlPlane(locate(), tmp_path_factory.mktemp("controlplane")) as running:
        yield running


@pytest.fixture(scope="session")
def pod_binaries() -> PodBinaries:
    """Whoever asks has them built where they are missing."""
    return locate_for_pods()


@pytest.fixture(scope="module")
def plane_with_nodes(tmp_path_factory: pytest.TempPathFactory, pod_binaries: PodBinaries) -> Iterator[ControlPlane]:
    """Another one, with nodes: its pods run."""
    folder = tmp_path_factory.mktemp("plane-with-nodes")
    with (
        ControlPlane(locate(), folder / "plane") as plane,
        SimulatedNodes(plane, pod_binaries, folder / "nodes"),
    ):
        yield plane


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds missing programs before the first test starts, since a build is longer than a test's timeout."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if wanted & {"control_plane", "plane_with_nodes"}:
        locate()
    if "pod_binaries" in wanted:
        locate_for_pods()
