"""The session process of a Pyodide guest: carries messages between the server's socket and Node's pipes.

What `door` is for the WASI images, without forks: no checkpoint is ever taken, so whatever the policy, the end of this
process or of Node is the end of the session. It runs no guest code and is hardened like any session process; Node, its
only child, dies with it.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from runtime.sandbox.frames import Head, receive, send
from runtime.sandbox.pyodide.pipes import CHUNK, Message, NodePipes, PipeError

CPU_CLOCK: Final = 2  # linux/posix-timers.h, CPUCLOCK_SCHED: the clock id of a process is (~pid << 3) | 2


class Relay:
    """`node` is the process id of Node."""

    def __init__(self, sock: socket.socket, pipes: NodePipes, node: int) -> None:
        self._sock = sock
        self._pipes = pipes
        self._node = node
        self._memory = 0
        self._started = time.perf_counter()
        self._cpu_started = 0.0
        self._ran = 0.0
        self._cpu = 0.0

    def boot(self, begin: bytes) -> int:
        """Give the driver its first frame and wait until the guest asks for a request: bytes of linear memory then."""
        try:
            self._pipes.send(b"B", begin)
            message = self._next_message()
            if message.kind != "N":
                raise PipeError(f"Pyodide did not start: {message.detail}")
        except PipeError as error:
            self.die(str(error))
        return self._memory

    def run(self) -> NoReturn:
        """Until the server or Node ends."""
        # Node runs the guest, so it is Node whose CPU and memory the server looks at.
        send(self._sock, {"t": "hello", "memory": self._memory, "worker": self._node})
        try:
            while True:
                self._do_request()
        except PipeError as error:
            self.die(str(error))

    def _do_request(self) -> None:
        head, body, descriptors = self._receive("request")
        if "memory_limit" in head:
            self._pipes.send(b"L", str(head["memory_limit"]).encode())
        self._ran = self._cpu = 0.0
        self._resume()
        self._pipes.send(b"R", body)
        outgoing = b""
        message = self._next_message()
        while message.kind != "N":
            if message.kind == "C":
                self._call(message)
            elif message.kind == "P":
                self._fill(message.length, descriptors)
            elif message.kind == "G":
                outgoing = message.body
                self._pipes.send(b"R", b"1")
            else:
                raise PipeError(message.detail or f"a message of kind {message.kind[:20]}")
            message = self._next_message()
        send(self._sock, {"t": "done", "answer": len(message.body), **self._pause(message)}, message.body + outgoing)
        _close(descriptors)

    def _call(self, message: Message) -> None:
        """A host call: the cell is suspended until the server sends the result."""
        send(self._sock, {"t": "call", **self._pause(message)}, message.body)
        _, body, descriptors = self._receive("result")
        _close(descriptors)
        self._resume()
        self._pipes.send(b"R", body)

    def _fill(self, length: int, descriptors: Sequence[int]) -> None:
        """The bytes that came as a memory file; none if they are not as many as the guest wants."""
        if length == 0 or not descriptors or os.preadv(descriptors[0], [bytearray(1)], length - 1) != 1:
            self._pipes.send(b"F", b"")
            return
        self._pipes.send_parts(b"F", length, _content(descriptors[0], length))

    def _receive(self, kind: str) -> tuple[Head, bytes, list[int]]:
        """The next message of the server that is a `kind`; PipeError if Node ends or speaks unasked meanwhile."""
        while True:
            ends = [self._sock.fileno(), self._pipes.reading]
            if self._pipes.reading in select.select(ends, [], [])[0]:
                raise PipeError("Node ended, or spoke unasked")
            head, body, descriptors = receive(self._sock)
            if head["t"] == "exit":
                os._exit(0)
            if head["t"] == kind:
                return head, body, descriptors
            _close(descriptors)

    def _next_message(self) -> Message:
        message = self._pipes.receive()
        self._memory = message.memory or self._memory
        return message

    def die(self, detail: str) -> NoReturn:
        """Tell the server why, and end: Node ends with this process."""
        try:
            send(self._sock, {"t": "died", "kind": "pyodide", "detail": detail[:300], **self._used()})
        finally:
            os._exit(3)

    # --- the clock ---

    def _resume(self) -> None:
        self._started = time.perf_counter()
        self._cpu_started = self._node_seconds()

    def _used(self) -> Head:
        """What the cell has used until now, since it began or went on; time suspended in a host call does not count."""
        self._ran += time.perf_counter() - self._started
        self._cpu += max(0.0, self._node_seconds() - self._cpu_started)
        return {"ran": self._ran, "cpu": self._cpu, "memory": self._memory}

    def _pause(self, message: Message) -> Head:
        head: Head = {**self._used(), "forked": 0.0}
        for name, data, truncated in (
            ("raw_stdout", message.stdout, message.stdout_truncated),
            ("raw_stderr", message.stderr, message.stderr_truncated),
        ):
            if data:
                head[name] = data.decode("utf-8", "replace")
            if truncated:
                head[name + "_truncated"] = True
        return head

    def _node_seconds(self) -> float:
        """CPU time of all threads of Node; nothing more once it is gone."""
        try:
            return time.clock_gettime((~self._node << 3) | CPU_CLOCK)
        except OSError:
            return 0.0


def _content(descriptor: int, length: int) -> Iterator[memoryview]:
    buffer = bytearray(min(CHUNK, length))
    for offset in range(0, length, CHUNK):
        view = memoryview(buffer)[: min(CHUNK, length - offset)]
        os.preadv(descriptor, [view], offset)
        yield view


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
