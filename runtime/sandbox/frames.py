"""Messages between the server, the zygote and the session processes: SEQPACKET frames of a JSON head and raw bytes.

A message is `head JSON, newline, body`, cut into packets of at most PACKET bytes and a marking byte, which says where
in its message the packet stands. Packet boundaries survive a sender that is killed in the middle: the receiver drops
parts without a beginning or an end. This half is for the processes that block; `channel` is the half on the server's
event loop.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

PACKET: Final = 100_000
ONLY: Final = b"O"  # a whole message
FIRST: Final = b"F"
MORE: Final = b"M"
LAST: Final = b"L"
PART_OVERHEAD: Final = 1024  # reckoned for a packet besides its bytes, so that a flood of empty ones has an end too
MAX_DESCRIPTORS: Final = 4
MAX_BODY: Final = 128 << 20  # largest variable that leaves a session

Head = dict[str, Any]  # the keys of each message are the keyword arguments of its sender, next to its receiver


def packets(head: Head, body: bytes | memoryview = b"") -> Iterator[bytes]:
    """The packets of one message."""
    start = json.dumps(head).encode() + b"\n"
    if len(start) + len(body) <= PACKET:
        yield ONLY + start + bytes(body)
        return
    pieces = [view[offset : offset + PACKET] for view in (start, memoryview(body)) for offset in _offsets(len(view))]
    for index, piece in enumerate(pieces):
        yield (FIRST if index == 0 else LAST if index == len(pieces) - 1 else MORE) + bytes(piece)


def _offsets(length: int) -> range:
    return range(0, length, PACKET)


class Assembly:
    """Puts messages together again; packets of a message whose beginning or end is missing are dropped."""

    def __init__(self) -> None:
        self._message: bytearray | None = None
        self.length = 0  # bytes that are reckoned for the unfinished message

    def add(self, packet: bytes) -> bytearray | None:
        """The message that `packet` completes, if it does; it is the caller's from then on."""
        mark = packet[:1]
        if mark in (ONLY, FIRST):
            self.clear()
            self._message = bytearray()
        if self._message is None:
            return None
        self._message += memoryview(packet)[1:]
        self.length += len(packet) + PART_OVERHEAD
        if mark not in (ONLY, LAST):
            return None
        message = self._message
        self.clear()
        return message

    def clear(self) -> None:
        """Drop the unfinished message."""
        self._message = None
        self.length = 0


def cut(message: bytearray) -> tuple[bytes, bytearray]:
    """(head, body); the body is the message's own memory without the head, so that a large one is not copied."""
    end = message.find(b"\n")
    if end < 0:
        return bytes(message), bytearray()
    head = bytes(memoryview(message)[:end])
    del message[: end + 1]
    return head, message


def split(message: bytearray) -> tuple[Head, bytes]:
    """(head, body) of a whole message; ValueError if it is none."""
    head, body = cut(message)
    parsed = json.loads(head)
    if not isinstance(parsed, dict):
        raise TypeError("a head is an object")
    return parsed, bytes(body)


def send(sock: socket.socket, head: Head, body: bytes | memoryview = b"") -> None:
    for packet in packets(head, body):
        sock.send(packet)


def receive(sock: socket.socket) -> tuple[Head, bytes, list[int]]:
    """The next message and the descriptors that came with it. Ends the process when the other side is gone."""
    assembly = Assembly()
    descriptors = array.array("i")
    message: bytearray | None = None
    while message is None:
        packet, ancillary, _, _ = sock.recvmsg(PACKET + 1, socket.CMSG_SPACE(MAX_DESCRIPTORS * descriptors.itemsize))
        if not packet:
            os._exit(0)
        if packet[:1] in (ONLY, FIRST):
            # What came with a message that never ended belongs to nobody.
            while descriptors:
                os.close(descriptors.pop())
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        message = assembly.add(packet)
    head, body = split(message)
    return head, body, list(descriptors)


def descriptors_message(descriptors: Sequence[int]) -> list[tuple[int, int, array.array[int]]]:
    """Ancillary data that carries `descriptors`."""
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
