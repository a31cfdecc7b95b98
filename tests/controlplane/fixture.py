"""The control plane for pytest. A conftest.py imports both names; each such folder gets a control plane of its own.

Separate control planes keep audit logs apart: what the operator asked for is not mixed with what other tests did.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.binaries import locate
from tests.controlplane.cluster import ControlPlane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kube-controller-manager, up for the session."""
    with ControlPlane(locate(), tmp_path_factory.mktemp("controlplane")) as running:
        yield running


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds missing programs before the first test starts, since a build is longer than a test's timeout."""
    wanted = any("control_plane" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        locate()
