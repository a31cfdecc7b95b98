from tests.controlplane.fixture import control_plane, pod_binaries, pytest_collection_finish

__all__ = ["control_plane", "pod_binaries", "pytest_collection_finish"]
