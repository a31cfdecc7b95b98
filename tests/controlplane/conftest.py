from tests.controlplane.fixture import control_plane, pytest_collection_finish

__all__ = ["control_plane", "pytest_collection_finish"]
