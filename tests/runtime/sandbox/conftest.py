"""One sandbox service for all tests that do not need settings of their own, and a client of it for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.runtime.sandbox.client import SandboxClient, connect
from tests.runtime.sandbox.server import KEYS, SandboxServer, run_server


@pytest.fixture(scope="session")
def server() -> Iterator[SandboxServer]:
    with run_server() as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(server) as connected:
        yield connected


@pytest.fixture
async def stranger(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    """The same service with another caller's key."""
    async with connect(server, KEYS["bob"]) as connected:
        yield connected
