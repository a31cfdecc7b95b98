"""Without root and without capabilities, as in a pod: what is measured and shared is the same; what is missing is said.

Where the tests run as root, the service runs in a user namespace of its own, which has no privilege outside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from runtime.wire import Status
from tests.runtime.sandbox.client import SandboxClient, connect, new_id
from tests.runtime.sandbox.long_cell import BUSY, assert_gets_its_share, begin, ended, one_cpu
from tests.runtime.sandbox.processes import status
from tests.runtime.sandbox.server import SandboxServer, run_server

AS_PLAIN_USER: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()


def can_be_plain_user() -> bool:
    try:
        return subprocess.run([*AS_PLAIN_USER, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not can_be_plain_user(), reason="a service without root: no user namespaces here")


@pytest.fixture(scope="module")
def plain_server() -> Iterator[SandboxServer]:
    with contextlib.ExitStack() as stack:
        with one_cpu():
            server = stack.enter_context(run_server(wrapper=AS_PLAIN_USER, timeout_seconds=600))
        yield server


@pytest.fixture
async def plain(plain_server: SandboxServer) -> AsyncIterator[SandboxClient]:
    async with connect(plain_server) as connected:
        yield connected


async def test_the_missing_measure_is_said_and_counted(plain: SandboxClient) -> None:
    assert status(plain.server.pid)["CapEff"] == "0000000000000000"
    notes = json.loads((await plain.request("GET", "/readyz")).body)["notes"]
    assert any("own uid per session" in note for note in notes)
    assert (await plain.metrics())["wasm_hardening_measures_missing", ""] == len(notes) > 0


async def test_a_killed_cell_reports_its_cpu_and_memory(plain: SandboxClient) -> None:
    session = new_id()
    before = (await plain.execute("kept = 1", session)).memory_bytes
    killed = await plain.execute(f"x = bytes(60_000_000)\n{BUSY}", session, timeout=2)
    assert killed.status is Status.TIMEOUT
    assert 0 < killed.cpu_time <= killed.execution_time * 1.05
    assert killed.memory_bytes > before + 50_000_000
    assert (await plain.execute("kept", session)).result == "1"


async def test_a_young_cell_gets_more_cpu_than_a_long_one_whose_session_is_young_again_afterwards(
    plain: SandboxClient,
) -> None:
    long = await begin(plain, BUSY)
    await assert_gets_its_share(plain, new_id(), long)
    await plain.interrupt(long.session)
    assert (await ended(long)).status is Status.INTERRUPTED
    other = await begin(plain, BUSY)
    await assert_gets_its_share(plain, long.session, other)
    await plain.interrupt(other.session)
    await ended(other)
