"""Large messages arrive in a bounded part of memory: what has no room waits in its sender, and is late for nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from runtime.sandbox.channel import Channel, socket_pair
from runtime.sandbox.frames import FIRST, LAST, MORE, PACKET
from runtime.sandbox.intake import SMALL, Intake, Line
from runtime.sandbox.process import Answer, SessionProcess
from tests.runtime.sandbox.eventually import DEADLINE, eventually

DONE: Final = b'{"t": "done", "answer": 0, "ran": 0.5, "cpu": 0.25, "memory": 1, "forked": 0}\n'
PIECE: Final = b"x" * (PACKET - 1)
PIECES: Final = SMALL // PACKET * 3
TIMEOUT: Final = 0.05


def line(intake: Intake, told: list[str], name: str) -> Line:
    return Line(intake, lambda: told.append(name))


def test_what_began_first_always_goes_on_and_the_others_when_there_is_room() -> None:
    told: list[str] = []
    intake = Intake(10 * SMALL)
    first, second, third = (line(intake, told, name) for name in ("first", "second", "third"))
    assert first.reach(6 * SMALL)
    assert second.reach(4 * SMALL)
    assert not third.reach(2 * SMALL)
    assert not second.reach(5 * SMALL)
    assert first.reach(100 * SMALL)
    assert (first.held, second.held, third.held) == (False, True, True)
    first.leave()
    assert told == ["second", "third"]
    assert (second.held, third.held) == (False, False)


def test_small_messages_are_neither_counted_nor_held() -> None:
    intake = Intake(0)
    large, small = line(intake, [], "large"), line(intake, [], "small")
    assert large.reach(SMALL + 1)
    assert small.reach(SMALL)
    assert not small.reach(SMALL + 1)


def test_a_message_that_was_never_finished_gives_its_room_back_when_another_begins() -> None:
    told: list[str] = []
    intake = Intake(2 * SMALL)
    dead, waiting = line(intake, told, "dead"), line(intake, told, "waiting")
    assert dead.reach(2 * SMALL)
    assert not waiting.reach(2 * SMALL)
    assert dead.reach(10)
    assert told == ["waiting"]


async def test_an_answer_that_waits_for_room_arrives_whole_after_its_deadline() -> None:
    intake = Intake(SMALL)
    first, theirs = socket_pair()
    messages: list[bytearray] = []
    blocking = Channel(first, lambda _head, body, _pid: messages.append(body), lambda: None, intake)
    ours, others = socket_pair()
    process = SessionProcess(on_gone=lambda _: None)
    channel = Channel(ours, process.received, process.ended, intake)
    process.attach(channel)
    for sock in (theirs, others):
        sock.settimeout(DEADLINE)  # so that a thread that sends ends with a test that fails
    await asyncio.to_thread(send, theirs, [FIRST + DONE, *[MORE + PIECE] * PIECES])
    answer = [FIRST + DONE, *[MORE + PIECE] * PIECES, LAST + PIECE]
    answering = asyncio.create_task(asyncio.to_thread(send, others, answer))
    await eventually(lambda: channel.is_held)
    asked = asyncio.ensure_future(process.request({"cell": 1}, b"{}", TIMEOUT))
    ended = asyncio.get_running_loop().time() + 3 * TIMEOUT
    await eventually(lambda: asyncio.get_running_loop().time() > ended)  # past the deadline of the request
    assert not asked.done()
    theirs.send(LAST + PIECE)
    outcome = await asyncio.wait_for(asked, DEADLINE)
    await answering
    assert isinstance(outcome, Answer)
    assert len(outcome.body) == len(messages[0]) == (PIECES + 1) * len(PIECE)
    blocking.close()
    process.close()
    theirs.close()
    others.close()


def send(sock: socket.socket, packets: list[bytes]) -> None:
    for packet in packets:
        sock.send(packet)
