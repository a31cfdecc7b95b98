"""What the server keeps to say again, it keeps once; what it only passes on, it does not keep at all."""

from __future__ import annotations

import asyncio
from typing import Final

from runtime.sandbox.kept import KeptCall, KeptReply, size_of
from runtime.wire import CellReply, HostCall, Status
from tests.runtime.sandbox.client import SandboxClient, new_id
from tests.runtime.sandbox.eventually import eventually
from tests.runtime.sandbox.processes import peak_resident_bytes, resident_bytes, restart_peak
from tests.runtime.sandbox.server import SandboxServer

SESSIONS: Final = 6
TEXT: Final = 8 << 20
VARIABLE: Final = 60 << 20
MARGIN: Final = 24 << 20  # for what one reply takes while it is made, and for everything else
EMOJI: Final = "\N{GRINNING FACE}"  # makes a str of four bytes for each character
ASK: Final = f"import sandbox\nx = sandbox.call('f', 'x' * {TEXT} + '{EMOJI}')\nsandbox.call('f', '')"
CALL: Final = HostCall(id="c", name="f", payload="p" * 100)


def suspended(**fields: object) -> CellReply:
    return CellReply(session_id="s", cell=1, status=Status.SUSPENDED, stdout="out", call=CALL).model_copy(update=fields)


def test_a_kept_reply_is_restored_with_the_call_that_it_shares() -> None:
    reply, call = suspended(), KeptCall.of(CALL)
    kept = KeptReply.of("r", reply, call)
    assert kept.call is call
    assert b"ppp" not in kept.text
    assert kept.restore() == reply
    assert size_of(call, kept) == 100 + len(kept.text)
    assert size_of(None, kept) == 100 + len(kept.text)
    assert size_of(call.with_new_id(), kept) == 100 + len(kept.text)
    assert size_of(KeptCall.of(CALL.model_copy(update={"payload": "other"})), kept) == 105 + len(kept.text)


def test_a_kept_reply_of_several_cells_has_its_call_in_both_places_again() -> None:
    first = CellReply(session_id="s", cell=1, status=Status.OK, result="1")
    reply = suspended(results=[first, suspended()])
    kept = KeptReply.of("r", reply, KeptCall.of(CALL))
    assert b"ppp" not in kept.text
    assert kept.restore() == reply


def test_a_kept_reply_without_a_call_is_restored_as_it_was() -> None:
    reply = CellReply(session_id="s", cell=1, status=Status.OK, result="1", created=True)
    assert KeptReply.of("r", reply, KeptCall.of(CALL)).restore() == reply


async def test_host_calls_are_kept_once_as_utf8_said_again_and_given_back_to_the_kernel(
    client: SandboxClient, server: SandboxServer
) -> None:
    sessions = [new_id() for _ in range(SESSIONS)]
    before = resident_bytes(server.pid)
    replies = {
        session: await client.execute(ASK, session, host_functions=["f"], request_id="r") for session in sessions
    }
    assert resident_bytes(server.pid) - before < SESSIONS * TEXT + MARGIN
    assert (await client.metrics())["wasm_server_kept_bytes", ""] >= SESSIONS * TEXT
    first = sessions[0]
    assert await client.execute(ASK, first, host_functions=["f"], request_id="r") == replies[first]
    branch = await client.fork(first)
    call, asked = branch.call, replies[first].call
    assert call is not None
    assert asked is not None
    assert (call.name, call.payload) == (asked.name, asked.payload)
    assert call.id != asked.id
    for session in (*sessions, branch.session_id):
        await client.delete(session)
    await eventually(lambda: resident_bytes(server.pid) - before < MARGIN)


async def test_answers_are_not_kept_once_the_guest_has_them(client: SandboxClient, server: SandboxServer) -> None:
    sessions = [new_id() for _ in range(SESSIONS)]
    before = resident_bytes(server.pid)
    asked = [await client.execute(ASK, session, host_functions=["f"]) for session in sessions]
    calls = [reply.call.id for reply in asked if reply.call is not None]
    del asked
    pairs = zip(sessions, calls, strict=True)
    replies = await asyncio.gather(*(client.resume(session, call, result="y" * TEXT) for session, call in pairs))
    assert {reply.status for reply in replies} == {Status.SUSPENDED}
    await eventually(lambda: resident_bytes(server.pid) - before < MARGIN)


async def test_variables_that_are_read_at_once_pass_the_server_without_a_copy(
    client: SandboxClient, server: SandboxServer
) -> None:
    sessions = [new_id() for _ in range(4)]
    for session in sessions:
        await client.execute(f"v = 'x' * {VARIABLE}", session)
    restart_peak(server.pid)
    before = resident_bytes(server.pid)

    async def read(session: str) -> int:
        size = 0
        async with client.http.get(f"{server.url}/sessions/{session}/variables/v") as response:
            async for piece in response.content.iter_any():
                size += len(piece)
        return size

    assert await asyncio.gather(*map(read, sessions)) == [VARIABLE] * len(sessions)
    assert peak_resident_bytes(server.pid) - before < 2 * VARIABLE + MARGIN  # two have room at a time
