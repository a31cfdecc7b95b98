"""The server's end of a process's socket on the event loop: whole messages in, whole messages out, never blocking.

The kernel says who sent a message (SCM_CREDENTIALS); what a message says about itself is checked by `reports`. A
sender that breaks the framing, says what no process of ours says or sends too much is cut off like one that is gone.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from runtime.sandbox.frames import PACKET, Assembly, Head, descriptors_message, packets
from runtime.sandbox.intake import Intake, Line
from runtime.sandbox.reports import ForgedReportError, parse_report

PACKETS_PER_WAKEUP: Final = 64
MAX_MESSAGE: Final = 160 << 20  # an answer and a variable, with room; more is an attack
UNREAD: Final = struct.Struct("i")  # of SIOCOUTQ, which is TIOCOUTQ: bytes that the other side has not read
CREDENTIALS: Final = struct.Struct("iII")  # pid, uid, gid: struct ucred

log = logging.getLogger(__name__)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """(ours, the process's)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


class _Outgoing:
    """A message on its way out: cut into packets one at a time, so that a large body is not in memory twice."""

    def __init__(self, packets: Iterator[bytes], descriptors: list[int]) -> None:
        self._packets = packets
        self.descriptors = descriptors  # go with the first packet
        self.packet = next(packets)

    def advance(self) -> bool:
        """To the next packet, if there is one; the kernel has the one before."""
        _close_all(self.descriptors)
        self.descriptors = []
        self.packet = next(self._packets, b"")
        return bool(self.packet)


class Channel:
    """`on_message(head, body, pid)` for each message, `on_end()` once when the other side is gone or misbehaves."""

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Head, bytearray, int], None],
        on_end: Callable[[], None],
        intake: Intake,
    ) -> None:
        self._sock = sock
        self._on_message = on_message
        self._on_end = on_end
        self._assembly = Assembly()
        self._line = Line(intake, self._read_on)
        self._outgoing: deque[_Outgoing] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)
        self.closed = False

    def send(self, head: Head, body: bytes | memoryview = b"", descriptors: Sequence[int] = ()) -> None:
        """Queue a message. The descriptors are duplicated; the caller keeps and closes its own."""
        if self.closed:
            return
        self._outgoing.append(_Outgoing(packets(head, body), [os.dup(descriptor) for descriptor in descriptors]))
        self._flush()

    @property
    def is_held(self) -> bool:
        """A message has begun to arrive, and the rest of it waits for room in the server."""
        return self._line.held

    @property
    def is_unread(self) -> bool:
        """Something that was sent waits until the process takes it. False where the kernel does not tell."""
        if self.closed:
            return False
        try:
            waiting = fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(UNREAD.size))
        except OSError:
            return False
        return bool(self._outgoing) or UNREAD.unpack(waiting)[0] > 0

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._line.leave()
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._drop_outgoing()
        self._sock.close()

    def _readable(self) -> None:
        for _ in range(PACKETS_PER_WAKEUP):
            try:
                packet, ancillary, flags, _ = self._sock.recvmsg(PACKET + 1, socket.CMSG_SPACE(CREDENTIALS.size))
            except BlockingIOError:
                return
            except OSError:
                packet, ancillary, flags = b"", [], 0
            pid = _sender(ancillary)
            if not packet or flags & socket.MSG_TRUNC or pid is None or not self._take(packet, pid):
                self._end()
            if self.closed:
                return
            if not self._line.reach(self._assembly.length):
                self._loop.remove_reader(self._sock.fileno())
                return

    def _read_on(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def _take(self, packet: bytes, pid: int) -> bool:
        """False: this is no message of ours."""
        message = self._assembly.add(packet)
        if message is None:
            return self._assembly.length <= MAX_MESSAGE
        self._line.leave()
        try:
            head, body = parse_report(message)
        except ForgedReportError as error:
            log.warning("a process said what none of ours says; it is cut off", extra={"problem": str(error)})
            return False
        self._on_message(head, body, pid)
        return True

    def _end(self) -> None:
        self.close()
        self._on_end()

    def _flush(self) -> None:
        while self._outgoing:
            message = self._outgoing[0]
            try:
                self._sock.sendmsg([message.packet], descriptors_message(message.descriptors))
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._writable)
                return
            except OSError:
                # The other side is gone; the reader sees the end and says so.
                self._drop_outgoing()
                return
            if not message.advance():
                self._outgoing.popleft()

    def _drop_outgoing(self) -> None:
        for message in self._outgoing:
            _close_all(message.descriptors)
        self._outgoing.clear()

    def _writable(self) -> None:
        self._loop.remove_writer(self._sock.fileno())
        self._flush()


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(CREDENTIALS.unpack(data[: CREDENTIALS.size])[0])
    return None


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
