"""The host's side of the guest's door, in zygote and session processes.

The guest never returns; it writes a message to the door and blocks for the reply. So every fork (new session,
checkpoint) happens in here, between two instructions of the guest, with the guest in one well-known state. The kinds of
message are listed in `guest/door.py`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

from runtime.checkpoint_policy import CheckpointPolicy
from runtime.sandbox.branch import fork_branch
from runtime.sandbox.checkpoint import Checkpoint
from runtime.sandbox.engine import Guest
from runtime.sandbox.frames import MAX_BODY, Assembly, Head, packets, receive, send, split

QUIET_SECONDS: Final = 0.02  # policy `idle`: how long nothing must come before a checkpoint is taken
CROWDED_QUIET_SECONDS: Final = 1.0  # the same while cells of other sessions want the CPU that the fork would take
UNCOVERED_SECONDS: Final = 0.25  # policy `idle`: cell time that may be lost without a checkpoint before the next cell
TOUCH_SECONDS: Final = 5.0  # nobody waits for a touch, so nobody would stop guest code that runs away in one

REHEARSAL: Final[Head] = {
    "t": "request",
    "policy": "off",
    "cell": 0,
    "cover": False,
    "crowded": False,
    "epoch": 0,
    "number": 0,
}
WARM_REQUEST: Final = b'{"op": "warm"}'
TOUCH_REQUEST: Final = b'{"op": "touch"}'
RESEED_REQUEST: Final = b'{"op": "reseed"}'


class Door:
    """One process's door. `wait_in_zygote` blocks in the zygote and returns the session's socket in each forked
    child."""

    def __init__(self, wait_in_zygote: Callable[[], socket.socket], park_seconds: float) -> None:
        self._wait_in_zygote = wait_in_zygote
        self._park_seconds = park_seconds
        self._guest: Guest | None = None
        self._sock: socket.socket | None = None
        self._answering: Callable[[bytes], bytes] = self._after_boot
        self._checkpoint: Checkpoint | None = None
        self._policy = CheckpointPolicy.CELL
        self._cell = 0
        self._covered = False  # the state after `_cell` is in a checkpoint
        self._parked = False  # idle for long: the state is in this process alone, until the next request comes
        self._cover_now = False  # the server asked for a checkpoint right after this request
        self._crowded = False  # more cells run than there are CPUs, as far as the server has said
        self._uncovered_seconds = 0.0
        self._uncovered_call = False
        self._fork_seconds = 0.0
        self._started = 0.0
        self._cpu_started = 0.0
        self._ran = 0.0
        self._cpu = 0.0
        self._descriptors: list[int] = []
        self._outgoing = b""

    def bind(self, guest: Guest) -> None:
        self._guest = guest

    def __call__(self, message: bytes) -> bytes:
        kind, body = message[:1], memoryview(message)[1:]
        if kind == b"N":
            return self._answering(bytes(body))
        if kind == b"C":
            return self._call(bytes(body))
        if kind == b"P":
            return self._fill(*struct.unpack("<QQ", body))
        if kind == b"G":
            return self._collect(*struct.unpack("<QQ", body))
        return b""

    def die(self, kind: str, detail: str) -> None:
        """Say why and end this process: its checkpoint, if there is one, takes over."""
        try:
            send(self.sock, {"t": "died", "kind": kind, "detail": detail[:300], **self._used()})
        finally:
            os._exit(3)

    @property
    def sock(self) -> socket.socket:
        if self._sock is None:
            raise RuntimeError("this process has no session yet")
        return self._sock

    @property
    def checkpoint(self) -> Checkpoint:
        if self._checkpoint is None:
            raise RuntimeError("this process has no session yet")
        return self._checkpoint

    @property
    def guest(self) -> Guest:
        if self._guest is None:
            raise RuntimeError("the guest is not bound yet")
        return self._guest

    # --- what an answer of the guest answers ---

    def _after_boot(self, _: bytes) -> bytes:
        """The guest is ready: this is the zygote until the call returns in a child."""
        self._sock = self._wait_in_zygote()
        self._checkpoint = Checkpoint(self._sock, os.getppid())
        self._answering = self._after_warm
        head, body = _rehearsed(REHEARSAL, WARM_REQUEST)
        self._accept(head)
        return body

    def _after_warm(self, answer: bytes) -> bytes:
        _rehearsed({"t": "done", "answer": len(answer), **self._pause()}, answer)
        self._uncovered_seconds = 0.0
        self._answering = self._after_request
        self._greet()
        return self._next_request()

    def _greet(self) -> None:
        send(self.sock, {"t": "hello", "memory": self.guest.memory.size()})

    def _after_reseed(self, _: bytes) -> bytes:
        """A branch of an idle session is ready once a failure of its first cell loses nothing."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._answering = self._after_request
        if self._policy is not CheckpointPolicy.OFF:
            self._take_checkpoint()
        self._greet()
        return self._next_request()

    def _after_touch(self, answer: bytes) -> bytes:
        _rehearsed({"t": "done", "answer": len(answer), **self._used()}, answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._answering = self._after_request
        return self._next_request()

    def _after_request(self, answer: bytes) -> bytes:
        head: Head = {"t": "done", "answer": len(answer), **self._pause()}
        send(self.sock, head, answer + self._outgoing if self._outgoing else answer)
        self._outgoing = b""
        self._release_descriptors()
        if self._policy is CheckpointPolicy.CELL or (self._cover_now and self._policy is CheckpointPolicy.IDLE):
            promoted = self._take_checkpoint()
            if not (promoted or self._crowded or self._request_waits(0)):
                return self._touch()
        return self._next_request()

    def _touch(self) -> bytes:
        """Take the page faults that follow a fork now, in host and guest, while nobody waits.

        A cell can answer in the driver's place and so be running still; SIGALRM ends that, and as a promoted
        checkpoint does not touch, it ends for good.
        """
        signal.setitimer(signal.ITIMER_REAL, TOUCH_SECONDS)
        self._answering = self._after_touch
        self._resume()
        return _rehearsed(REHEARSAL, TOUCH_REQUEST)[1]

    def _call(self, payload: bytes) -> bytes:
        """A host call: the cell is suspended until the server sends the result."""
        self._uncovered_call = True
        send(self.sock, {"t": "call", **self._pause()}, payload)
        while True:
            head, body, descriptors = receive(self.sock)
            if head["t"] == "fork" and self._branch(descriptors[0], wanted=head["suspended"]):
                self._greet()
            if head["t"] == "result" and head["epoch"] == self.checkpoint.epoch:
                self._crowded = head["crowded"]
                self._resume()
                return body
            if head["t"] == "exit":
                os._exit(0)

    def _fill(self, address: int, length: int) -> bytes:
        """Copy the bytes that came as a memory file to where the guest wants them."""
        view = self.guest.memory.view(address, length)
        done = 0
        while done < length:
            read = os.preadv(self._descriptors[0], [view[done:]], done)
            if read <= 0:
                return b""
            done += read
        return b"1"

    def _collect(self, address: int, length: int) -> bytes:
        """Keep bytes of the guest for the body of the answer; an empty reply says that they are too many."""
        if length > MAX_BODY:
            return b""
        self._outgoing = self.guest.memory.read(address, length)
        return b"1"

    # --- requests ---

    def _next_request(self) -> bytes:
        """Block for the next request; take the checkpoint that policy `idle` owes when nothing comes.

        A session that is idle for long keeps one process of its two: as nothing runs, nothing can go wrong in it.
        """
        while True:
            owes = self._policy is CheckpointPolicy.IDLE and not (self._covered or self._parked)
            if owes and not self._request_waits(CROWDED_QUIET_SECONDS if self._crowded else QUIET_SECONDS):
                promoted = self._take_checkpoint()
                if promoted or self._request_waits(0):
                    continue
                return self._touch()
            if self.checkpoint.exists and not self._request_waits(self._park_seconds):
                self.checkpoint.drop()
                self._parked = True
                self._covered = False
            head, body, self._descriptors = receive(self.sock)
            if head["t"] == "exit":
                os._exit(0)
            if head["t"] == "fork":
                branching, self._descriptors = self._descriptors, []
                if self._branch(branching[0], wanted=not head["suspended"]):
                    signal.setitimer(signal.ITIMER_REAL, TOUCH_SECONDS)
                    self._answering = self._after_reseed
                    return RESEED_REQUEST
            if head["t"] == "request" and head["epoch"] == self.checkpoint.epoch and self._accept(head):
                return body
            self._release_descriptors()

    def _branch(self, descriptor: int, *, wanted: bool) -> bool:
        """True in the branch, which has no checkpoint yet. Not `wanted`: the server did not know yet that this process
        was promoted, and gets no branch."""
        if not wanted:
            os.close(descriptor)
            return False
        if not fork_branch(self.sock, descriptor, self.checkpoint.zygote):
            return False
        self._checkpoint = self.checkpoint.leave()
        self._parked = False
        return True

    def _accept(self, head: Head) -> bool:
        """Before a request: what is not covered yet and would be missed is covered first.

        False: this process is a checkpoint that was promoted because the request killed the head; it must not run it
        too.
        """
        self._policy = CheckpointPolicy(head["policy"])
        if "memory_limit" in head:
            self.guest.limit_memory(head["memory_limit"])
        missed = self._uncovered_seconds > UNCOVERED_SECONDS or self._uncovered_call
        owes = self._policy is CheckpointPolicy.IDLE and missed and not self._covered
        if (owes or self._parked) and self._take_checkpoint():
            return False
        self._cell = head["cell"]
        self._cover_now = head["cover"]
        self._crowded = head["crowded"]
        self._covered = False
        self._ran = self._cpu = 0.0
        self.checkpoint.begun.number = head["number"]
        self._resume()
        return True

    def _request_waits(self, seconds: float) -> bool:
        return bool(select.select([self.sock], [], [], seconds)[0])

    def _take_checkpoint(self) -> bool:
        """True in a checkpoint that was promoted since."""
        taken = self.checkpoint.take(self._cell)
        if taken.seconds is not None:
            self._fork_seconds = taken.seconds
            self._covered = True
            self._parked = False
            self._uncovered_seconds = 0.0
            self._uncovered_call = False
        return taken.promoted

    def _release_descriptors(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    # --- the clock ---

    def _resume(self) -> None:
        self._started = time.perf_counter()
        self._cpu_started = time.process_time()

    def _used(self) -> Head:
        """What the cell has used until now, since it began or went on; time suspended in a host call does not count."""
        ran = time.perf_counter() - self._started
        self._ran += ran
        self._cpu += time.process_time() - self._cpu_started
        self._uncovered_seconds += ran
        return {"ran": self._ran, "cpu": self._cpu, "memory": self.guest.memory.size()}

    def _pause(self) -> Head:
        """Times, memory and raw output for a reply."""
        raw_out, raw_err = self.guest.stdout, self.guest.stderr
        head: Head = {**self._used(), "forked": self._fork_seconds}
        self._fork_seconds = 0.0
        for name, capture in (("raw_stdout", raw_out), ("raw_stderr", raw_err)):
            data = capture.take()
            if data:
                head[name] = data.decode("utf-8", "replace")
            if capture.truncated:
                head[name + "_truncated"] = True
                capture.truncated = False
        return head


def _rehearsed(head: Head, body: bytes) -> tuple[Head, bytes]:
    """What would be received if it was sent. A real message then finds the pages that it writes to copied."""
    assembly = Assembly()
    (message,) = map(assembly.add, packets(head, body))
    return split(message or bytearray())
