"""Messages cut into packets and put together again, also when a sender died in the middle."""

from __future__ import annotations

import os
import socket

import pytest

from runtime.sandbox.frames import FIRST, LAST, MORE, ONLY, PACKET, Assembly, packets, receive, send, split


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def together(parts: list[bytes]) -> bytearray:
    assembly = Assembly()
    messages = [assembly.add(part) for part in parts]
    assert messages[:-1] == [None] * (len(parts) - 1)
    assert messages[-1] is not None
    return messages[-1]


@pytest.mark.parametrize("size", [0, 1, PACKET - 20, PACKET, PACKET + 1, 2 * PACKET, 2 * PACKET + 1])
def test_a_body_of_any_size_comes_back_whole_in_packets_within_the_limit(size: int) -> None:
    body = os.urandom(size)
    parts = list(packets({"t": "x"}, body))
    assert max(map(len, parts)) <= PACKET + 1
    assert split(together(parts)) == ({"t": "x"}, body)


def test_a_head_larger_than_a_packet_is_cut_as_well() -> None:
    head = {"raw_stdout": "\0" * PACKET}
    parts = list(packets(head, b"body"))
    assert max(map(len, parts)) <= PACKET + 1
    assert split(together(parts)) == (head, b"body")


def test_a_message_whose_sender_died_is_dropped_when_the_next_begins() -> None:
    assembly = Assembly()
    cut_off = list(packets({"t": "old"}, b"x" * 3 * PACKET))[:-1]
    assert [assembly.add(part) for part in cut_off] == [None] * len(cut_off)
    message = assembly.add(ONLY + b'{"t": "new"}\n')
    assert message is not None
    assert split(message) == ({"t": "new"}, b"")


def test_the_rest_of_a_message_without_its_beginning_is_dropped() -> None:
    assembly = Assembly()
    assert assembly.add(MORE + b"x") is None
    assert assembly.add(LAST + b"x") is None
    assert assembly.length == 0
    assert assembly.add(FIRST + b"{}") is None
    assert assembly.add(LAST + b"\nbody") == bytearray(b"{}\nbody")


@pytest.mark.parametrize("message", [b"", b"no json\n", b'["list"]\n', b"1\nbody"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        split(bytearray(message))


def test_blocking_send_and_receive_carry_body_and_descriptors() -> None:
    ours, theirs = pair()
    with ours, theirs:
        send(ours, {"t": "a"}, b"body")
        assert receive(theirs) == ({"t": "a"}, b"body", [])
        reading, writing = os.pipe()
        socket.send_fds(ours, [ONLY + b'{"t": "b"}\n'], [writing])
        os.close(writing)
        _, _, (received,) = receive(theirs)
        os.write(received, b"through")
        os.close(received)
        assert os.read(reading, 20) == b"through"
        os.close(reading)


def test_descriptors_of_an_abandoned_message_are_closed() -> None:
    ours, theirs = pair()
    with ours, theirs:
        reading, writing = os.pipe()
        socket.send_fds(ours, [FIRST + b'{"t": "old"}\n'], [writing])
        os.close(writing)
        ours.send(ONLY + b'{"t": "new"}\n')
        assert receive(theirs) == ({"t": "new"}, b"", [])
        assert os.read(reading, 1) == b""  # nobody holds the other end
        os.close(reading)


def test_receive_ends_the_process_when_the_other_side_is_gone() -> None:
    ours, theirs = pair()
    if (child := os.fork()) == 0:
        ours.close()
        receive(theirs)
        os._exit(9)
    ours.close()
    theirs.close()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
