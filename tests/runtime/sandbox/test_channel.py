"""The server's end of a session's socket, over real socket pairs."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Final

import pytest

from runtime.sandbox.channel import MAX_MESSAGE, Channel, socket_pair
from runtime.sandbox.frames import FIRST, MORE, ONLY, PACKET, PART_OVERHEAD, Head, receive, send
from runtime.sandbox.intake import Intake
from tests.runtime.sandbox.eventually import eventually

HELLO: Final[Head] = {"t": "hello", "memory": 1 << 24}
DONE: Final[Head] = {"t": "done", "answer": 0, "ran": 0.5, "cpu": 0.25, "memory": 1 << 20, "forked": 0}


class Peer:
    """A channel, what it heard, and the other side's blocking socket."""

    def __init__(self) -> None:
        ours, self.sock = socket_pair()
        self.messages: list[tuple[Head, bytes, int]] = []
        self.ends = 0
        self.channel = Channel(ours, lambda *message: self.messages.append(message), self._end, Intake())

    def _end(self) -> None:
        self.ends += 1


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    yield made
    made.channel.close()
    made.sock.close()


def send_from_a_child(sock: socket.socket) -> int:
    if (child := os.fork()) == 0:
        send(sock, HELLO, b'{"pid": 1}')
        os._exit(0)
    os.waitpid(child, 0)
    return child


async def test_a_message_comes_with_the_senders_process_id(peer: Peer) -> None:
    send(peer.sock, HELLO, b"body")
    await eventually(lambda: peer.messages == [(HELLO, b"body", os.getpid())])


async def test_the_process_id_is_the_kernels_not_the_messages(peer: Peer) -> None:
    child = send_from_a_child(peer.sock)
    await eventually(lambda: [pid for _, _, pid in peer.messages] == [child])


async def test_a_large_message_is_received_whole(peer: Peer) -> None:
    body = os.urandom(5 * PACKET)
    await asyncio.to_thread(send, peer.sock, DONE, body)
    await eventually(lambda: [message[1] for message in peer.messages] == [body])


async def test_a_large_message_is_sent_without_blocking_the_loop(peer: Peer) -> None:
    body = os.urandom(30 * PACKET)
    peer.channel.send({"t": "request"}, body)
    assert await asyncio.to_thread(receive, peer.sock) == ({"t": "request"}, body, [])


async def test_descriptors_are_duplicated_and_arrive(peer: Peer) -> None:
    descriptor = os.memfd_create("test")
    os.write(descriptor, b"shared")
    peer.channel.send({"t": "request"}, b"", [descriptor])
    os.close(descriptor)
    _, _, (received,) = await asyncio.to_thread(receive, peer.sock)
    assert os.pread(received, 10, 0) == b"shared"
    os.close(received)


async def test_unsent_descriptors_are_closed_with_the_channel(peer: Peer) -> None:
    reading, writing = os.pipe()
    peer.channel.send({"t": "request"}, b"x" * 50 * PACKET)  # fills the socket
    peer.channel.send({"t": "request"}, b"", [writing])
    os.close(writing)
    peer.channel.close()
    assert os.read(reading, 1) == b""
    os.close(reading)


async def test_the_other_sides_end_is_told_once(peer: Peer) -> None:
    peer.sock.close()
    await eventually(lambda: peer.ends == 1)
    assert peer.channel.closed
    peer.channel.send({"t": "request"})
    peer.channel.close()
    assert peer.ends == 1


@pytest.mark.parametrize(
    "packet",
    [
        ONLY + b"no json\n",
        ONLY + b"[]\n",
        ONLY + b"\xff\n",
        ONLY,
        ONLY + b"[" * 50_000 + b"\n",
        ONLY + b'{"t": "promoted"}\n',
        ONLY
        + b'{"t": "hello", "memory": 1}\n'
        + b"x" * PACKET,  # larger than a packet may be, and so cut by the kernel
    ],
)
async def test_a_sender_that_breaks_the_framing_is_cut_off(peer: Peer, packet: bytes) -> None:
    peer.sock.send(packet)
    await eventually(lambda: peer.ends == 1)
    assert peer.messages == []


@pytest.mark.parametrize("size", [PACKET, 0])
async def test_a_sender_that_sends_without_end_is_cut_off_also_when_its_packets_are_empty(
    peer: Peer, size: int
) -> None:
    def flood() -> None:
        peer.sock.send(FIRST + b"{}\n")
        for _ in range(MAX_MESSAGE // (size + PART_OVERHEAD) + 2000):
            peer.sock.send(MORE + b"x" * size)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        await asyncio.to_thread(flood)
    await eventually(lambda: peer.ends == 1)
    assert peer.messages == []


async def test_closing_inside_a_message_handler_stops_reading() -> None:
    ours, theirs = socket_pair()
    heard: list[Head] = []

    def on_message(head: Head, _body: bytearray, _pid: int) -> None:
        heard.append(head)
        channel.close()

    channel = Channel(ours, on_message, lambda: None, Intake())
    with theirs:
        send(theirs, DONE)
        send(theirs, HELLO)
        await eventually(lambda: channel.closed)
        assert heard == [DONE]


def test_the_servers_socket_asks_for_credentials_and_never_blocks() -> None:
    ours, theirs = socket_pair()
    with ours, theirs:
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED) == 1
        assert not ours.getblocking()
        assert theirs.getblocking()
