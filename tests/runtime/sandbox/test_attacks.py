"""Attacks from inside a cell: what the reply says, and that the session and its neighbour go on."""

from __future__ import annotations

import asyncio
import json

import pytest

from runtime.wire import Status
from tests.runtime.sandbox.attacks.attack import Attack
from tests.runtime.sandbox.attacks.containment import assert_contained
from tests.runtime.sandbox.attacks.endings import ENDINGS
from tests.runtime.sandbox.attacks.endless import ENDLESS
from tests.runtime.sandbox.attacks.forgery import FORGERY
from tests.runtime.sandbox.attacks.hostile_locals import HOSTILE_LOCALS
from tests.runtime.sandbox.attacks.memory import MEMORY
from tests.runtime.sandbox.attacks.output import OUTPUT
from tests.runtime.sandbox.attacks.recursion import RECURSION
from tests.runtime.sandbox.client import SandboxClient, new_id

ATTACKS = (*ENDLESS, *MEMORY, *OUTPUT, *RECURSION, *ENDINGS, *HOSTILE_LOCALS, *FORGERY)


@pytest.fixture
async def other(client: SandboxClient) -> str:
    """Another session, which answers throughout."""
    session = new_id("other")
    await client.execute("y = 'other'", session)
    return session


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_is_contained_and_the_session_keeps_what_it_had(
    client: SandboxClient, other: str, attack: Attack
) -> None:
    await assert_contained(client, other, attack)


async def test_a_run_that_was_cut_off_never_reads_as_a_success(client: SandboxClient) -> None:
    for code in ("sys.exit(0)", "os._exit(0)", "os.abort()", "raise SystemExit", "while True: pass"):
        reply = await client.execute(f"import os, sys\nprint('ok')\n{code}", timeout=0.5)
        assert reply.status is not Status.OK
        assert reply.error is not None


async def test_a_forged_answer_cannot_set_fields_that_are_the_hosts(client: SandboxClient) -> None:
    """15: the guest may answer in the loop's place, but only for its own output."""
    session = new_id()
    await client.execute("x = 1", session)
    forged = {
        "status": "ok",
        "session_id": "another",
        "cell": 99,
        "execution_time": 0,
        "rolled_back": True,
        "stdout": "forged",
        "memory_bytes": 1,
    }
    message = b"N" + json.dumps(forged).encode()
    code = f"import os\nos.write(os.open('/host/door', os.O_RDWR), {message!r})\nwhile True: pass"
    reply = await client.execute(code, session, timeout=5)
    assert (reply.stdout, reply.session_id, reply.cell, reply.rolled_back) == ("forged", session, 2, False)
    assert reply.execution_time > 0
    assert reply.memory_bytes > 1_000_000


async def test_a_cell_that_answers_and_runs_on_is_ended(client: SandboxClient) -> None:
    """15: after a forged answer the cell would run with no clock; the next request's clock ends it."""
    session = new_id()
    await client.execute("x = 1", session)
    code = "import os\nos.write(os.open('/host/door', os.O_RDWR), b'N{\"status\": \"ok\"}')\nwhile True: pass"
    await client.execute(code, session, timeout=5)
    reply = await client.execute("x", session, timeout=1)
    assert reply.status in (Status.TIMEOUT, Status.CRASHED)
    assert reply.rolled_back or reply.session_lost


async def test_an_unsolicited_call_between_cells_does_not_hang_the_next_one(client: SandboxClient) -> None:
    session = (await client.create(host_functions=["ask"], prelude="x = 1")).session_id
    code = (
        "import os\nd = os.open('/host/door', os.O_RDWR)\nos.write(d, b'N{\"status\": \"ok\"}')\n"
        'os.write(d, b\'C{"name": "ask", "payload": ""}\')'
    )
    await client.execute(code, session, timeout=5)
    reply = await client.execute("x", session, timeout=1)
    assert reply.status is not Status.INTERRUPTED  # it ended, by itself or by the clock
    assert (await client.execute("1", new_id())).status is Status.OK


async def test_calls_of_names_that_were_not_given_are_refused_however_often_they_are_forged(
    client: SandboxClient,
) -> None:
    session = new_id()
    await client.execute("x = 1", session)
    code = (
        "import os\nd = os.open('/host/door', os.O_RDWR)\nwhile True:\n"
        '    n = os.write(d, b\'C{"name": "ask", "payload": ""}\')\n    os.read(d, n)'
    )
    reply = await client.execute(code, session, timeout=20)
    assert (reply.status, reply.rolled_back) == (Status.INTERRUPTED, True)
    assert (await client.execute("x", session)).result == "1"


async def test_sessions_run_side_by_side_while_as_many_spin_as_may(client: SandboxClient) -> None:
    """1: endless loops of one caller do not keep another cell from running."""
    spinning = [asyncio.create_task(client.execute("while True: pass", timeout=2)) for _ in range(4)]
    while not all(task.done() for task in spinning):
        assert (await client.execute("40 + 2")).result == "42"
    assert {task.result().status for task in spinning} == {Status.TIMEOUT}


async def test_ids_of_sessions_cannot_be_guessed_or_stolen(client: SandboxClient, stranger: SandboxClient) -> None:
    """19: server-made ids are 128 random bits, and another key's id does not exist."""
    ids = {(await client.create()).session_id for _ in range(5)}
    assert len(ids) == 5
    assert all(len(bytes.fromhex(session)) == 16 for session in ids)
    assert (await stranger.touch(*ids)).renewed == []


async def test_cells_of_one_session_raced_by_many_run_one_at_a_time(client: SandboxClient) -> None:
    """19: of requests at the same moment one runs, the others are told to wait; nothing is lost or run twice."""
    session = new_id()
    await client.execute("n = 0", session)
    body = {"code": "n += 1", "session_id": session}
    replies = await asyncio.gather(*(client.request("POST", "/execute", json=body) for _ in range(20)))
    ran = sum(reply.status == 200 for reply in replies)
    assert {reply.status for reply in replies} <= {200, 409}
    assert ran >= 1
    assert (await client.execute("n", session)).result == str(ran)
