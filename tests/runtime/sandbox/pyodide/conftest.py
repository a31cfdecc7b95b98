"""A sandbox service of the image `pyodide`, in the place of the WASI one, for every test in this folder.

The npm package is installed into the user's cache folder by the first test that needs it. A machine without Node says
so at the end of the run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.sandbox.guest_image import default_folder
from runtime.sandbox.pyodide.install import install
from runtime.sandbox.pyodide.installation import Installation, InstallationError, find_installation, find_node
from tests.runtime.sandbox.server import SandboxServer, run_server


@pytest.fixture(scope="session")
def installation() -> Installation:
    try:
        find_node()
    except InstallationError as error:
        pytest.skip(str(error))
    install(default_folder())
    return find_installation([default_folder()])


@pytest.fixture(scope="session")
def server(installation: Installation) -> Iterator[SandboxServer]:
    with run_server(image="pyodide", spares=2, max_sessions=12, cpu_shares=1024) as running:
        yield running
