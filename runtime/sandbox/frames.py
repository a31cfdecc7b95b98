"""Messages between the server, the zygote and the session processes: SEQPACKET frames of a JSON head and raw bytes.

A message is `head JSON, newline, body`, cut into packets of at most PACKET bytes; the first byte of each packet says
whether more follow. Packet boundaries survive a sender that is killed in the middle: the receiver drops the parts.
This half is for the processes that block; `channel` is the half on the server's event loop.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

PACKET: Final = 100_000
MORE: Final = b"M"
LAST: Final = b"L"
MAX_DESCRIPTORS: Final = 4

Head = dict[str, Any]  # the keys of each message are the keyword arguments of its sender, next to its receiver


def packets(head: Head, body: bytes | memoryview = b"") -> Iterator[bytes]:
    """The packets of one message."""
    start = json.dumps(head).encode() + b"\n"
    if len(start) + len(body) < PACKET:
        yield LAST + start + bytes(body)
        return
    yield MORE + start
    view = memoryview(body)
    for offset in range(0, len(view), PACKET):
        last = offset + PACKET >= len(view)
        yield (LAST if last else MORE) + view[offset : offset + PACKET]
    if not len(view):
        yield LAST


def split(message: bytes) -> tuple[Head, bytes]:
    """(head, body) of a whole message; ValueError if it is none."""
    head, _, body = message.partition(b"\n")
    parsed = json.loads(head)
    if not isinstance(parsed, dict):
        raise TypeError("a head is an object")
    return parsed, body


def send(sock: socket.socket, head: Head, body: bytes | memoryview = b"") -> None:
    for packet in packets(head, body):
        sock.send(packet)


def receive(sock: socket.socket) -> tuple[Head, bytes, list[int]]:
    """The next message and the descriptors that came with it. Ends the process when the other side is gone."""
    parts: list[bytes] = []
    descriptors = array.array("i")
    while True:
        packet, ancillary, _, _ = sock.recvmsg(PACKET + 1, socket.CMSG_SPACE(MAX_DESCRIPTORS * descriptors.itemsize))
        if not packet:
            os._exit(0)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        parts.append(packet[1:])
        if packet[:1] == LAST:
            break
    head, body = split(b"".join(parts))
    return head, body, list(descriptors)


def descriptors_message(descriptors: Sequence[int]) -> list[tuple[int, int, array.array[int]]]:
    """Ancillary data that carries `descriptors`."""
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
