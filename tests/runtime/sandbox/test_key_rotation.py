"""Keys are files: they change without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.wire import ErrorCode, Status
from tests.runtime.sandbox.client import connect, new_id
from tests.runtime.sandbox.server import KEYS, SandboxServer


@pytest.fixture
def carol(server: SandboxServer) -> Iterator[Path]:
    """A further caller's key file."""
    file = server.keys / "carol"
    file.write_text("key-of-carol")
    yield file
    file.unlink(missing_ok=True)


async def test_a_rotated_key_keeps_its_sessions_and_the_old_one_is_refused(server: SandboxServer, carol: Path) -> None:
    session = new_id()
    async with connect(server, "key-of-carol") as old:
        await old.execute("x = 1", session)
        await asyncio.to_thread(carol.write_text, "rotated-key")
        await old.refused(401, ErrorCode.UNAUTHENTICATED, "GET", f"/sessions/{session}")
    async with connect(server, "rotated-key") as new:
        assert (await new.execute("x", session)).result == "1"


async def test_an_added_key_works_and_a_removed_one_does_not(server: SandboxServer, carol: Path) -> None:
    async with connect(server, "key-of-carol") as connected:
        assert (await connected.execute("1")).status is Status.OK
        await asyncio.to_thread(carol.unlink)
        await connected.refused(401, ErrorCode.UNAUTHENTICATED, "POST", "/execute", json={"code": "1"})
    async with connect(server, KEYS["bob"]) as bob:
        assert (await bob.execute("1")).status is Status.OK
