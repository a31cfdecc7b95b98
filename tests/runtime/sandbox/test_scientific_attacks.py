"""Attacks that need the scientific guest: contained like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.runtime.sandbox.attacks.attack import Attack
from tests.runtime.sandbox.attacks.containment import assert_contained
from tests.runtime.sandbox.attacks.scientific import SCIENTIFIC
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.server import SandboxServer, run_server


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with run_server(image="scientific") as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(server) as connected:
        yield connected


@pytest.mark.parametrize("attack", SCIENTIFIC, ids=lambda attack: attack.name)
async def test_an_attack_with_the_packages_is_contained(client: SandboxClient, attack: Attack) -> None:
    other = new_id("other")
    await client.execute("y = 'other'", other)
    await assert_contained(client, other, attack, setup="import numpy as np, pandas as pd")
