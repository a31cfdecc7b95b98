from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rlmctl.dev_process import DevProcess, run_dev


@pytest.fixture(scope="package")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProcess]:
    """A running stack that no test stops or harms. A key of the caller's is in its environment."""
    with run_dev(tmp_path_factory.mktemp("dev"), {"CLOUD_SECRET": "leak-me"}) as running:
        yield running
