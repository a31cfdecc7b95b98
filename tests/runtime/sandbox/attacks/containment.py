"""What must hold of every attack: its reply, its session afterwards, and another session meanwhile."""

from __future__ import annotations

import asyncio
import json

import pytest

from runtime.wire import CellReply
from tests.runtime.sandbox.attacks.attack import CRASHED, ERROR, TIMEOUT, Attack
from tests.runtime.sandbox.client import SandboxClient, new_id

KEPT = "import json, sys, os\nkept = {'a': [1, 2]}\ndef still_here(n): return kept['a'][n]"
LARGEST_REPLY = 40 << 20
MEMORY_LIMIT = 256 << 20


async def assert_contained(client: SandboxClient, other: str, attack: Attack, setup: str = "") -> None:
    """Make `attack` in a session of its own, after `setup`. `other` is another session, in which `y` is `'other'`."""
    session = new_id("attacked")
    await client.execute(f"{KEPT}\n{setup}", session)
    reply = await _attack_with_a_neighbour(client, session, other, attack)
    assert reply.status in attack.statuses, (reply.status, reply.error)
    if attack.error and reply.status is ERROR:
        assert reply.error is not None
        assert reply.error.type == attack.error
    if reply.status in (TIMEOUT, CRASHED):
        assert reply.rolled_back or reply.session_lost
    assert reply.memory_bytes <= MEMORY_LIMIT
    assert len(reply.stdout.encode()) <= 1 << 20
    assert len(reply.stderr.encode()) <= 1 << 20
    if attack.breaks_itself:
        assert (await client.execute("1", new_id())).result == "1"
        return
    assert not reply.session_lost
    after = await client.execute("still_here(1), kept", session, create=False)
    assert after.result == "(2, {'a': [1, 2]})", after.error


async def _attack_with_a_neighbour(client: SandboxClient, session: str, other: str, attack: Attack) -> CellReply:
    body = {"code": attack.code, "session_id": session, "timeout": attack.timeout, "locals": attack.locals}
    running = asyncio.create_task(client.request("POST", "/execute", json=body))
    answers = 0
    while answers == 0 or not running.done():
        assert (await client.execute("y", other)).result == "'other'"
        answers += 1
        await asyncio.sleep(0.01)
    reply = await running
    assert reply.status == 200, reply.body[:300]
    assert len(reply.body) < LARGEST_REPLY
    json.loads(reply.body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    reply.body.decode("utf-8")
    return CellReply.model_validate_json(reply.body)
