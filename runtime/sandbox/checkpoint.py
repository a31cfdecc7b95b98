"""A checkpoint is a paused, copy-on-write child of the session head that takes its place when the head dies.

The two share a pipe which only the head holds open for writing. A byte says that a newer checkpoint exists; end of
file says that the head is gone, for whatever reason (killed, trapped, exited). Nobody has to tell the checkpoint, so
no failure of the head can prevent it. Used by `door`, in session processes only.

Each promotion begins a new epoch. Server and head put the epoch into their messages, so that a request that was meant
for a dead head is not run by its successor.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import dataclass

from runtime.sandbox.bare_fork import bare_fork
from runtime.sandbox.begun import Begun
from runtime.sandbox.frames import PACKET, send
from runtime.sandbox.hardening import die_with_parent

SUPERSEDED = b"x"
REPARENTING_POLL_SECONDS = 0.0002


@dataclass(frozen=True)
class Taken:
    """What came of `take`: seconds of the fork (None: refused), and whether this process is a promoted checkpoint."""

    seconds: float | None
    promoted: bool


class Checkpoint:
    """The newest checkpoint of this process, if it has one."""

    def __init__(self, sock: socket.socket, zygote: int) -> None:
        self._sock = sock
        self._pipe: int | None = None
        self.zygote = zygote
        self.epoch = 0
        self.begun = Begun()

    @property
    def exists(self) -> bool:
        return self._pipe is not None

    def drop(self) -> None:
        """Let the checkpoint end; this process goes on without one."""
        self._supersede()

    def leave(self) -> Checkpoint:
        """In a branch: the checkpoint belongs to the process that it was forked from; here is one to begin with."""
        if self._pipe is not None:
            os.close(self._pipe)
        return Checkpoint(self._sock, self.zygote)

    def take(self, cell: int) -> Taken:
        """Fork. In the head it returns at once; a refused fork leaves an older checkpoint in place.

        In the checkpoint it returns only when the head has died, after this process took a checkpoint of its own, so
        that a second failure at once loses nothing either, and announced `promoted` with the `cell` whose state it
        has.
        """
        promoted = False
        while True:
            started = time.perf_counter()
            reading, writing = os.pipe2(os.O_CLOEXEC)
            head = os.getpid()
            try:
                child = bare_fork()
            except OSError:
                os.close(reading)
                os.close(writing)
                return self._taken(None, cell, promoted=promoted)
            if child != 0:
                os.close(reading)
                self._supersede()
                self._pipe = writing
                return self._taken(time.perf_counter() - started, cell, promoted=promoted)
            os.close(writing)
            self._wait_for_promotion(reading, head)
            self._supersede()  # the head may have died before it could tell the older checkpoint
            self.epoch += 1
            promoted = True

    def _taken(self, seconds: float | None, cell: int, *, promoted: bool) -> Taken:
        if promoted:
            begun = self.begun.number
            send(self._sock, {"t": "promoted", "cell": cell, "epoch": self.epoch, "begun": begun})
        return Taken(seconds, promoted)

    def _wait_for_promotion(self, reading: int, head: int) -> None:
        if os.read(reading, 1):
            os._exit(0)
        os.close(reading)
        self._drop_stale_requests()
        # The head's descriptors close before it is reaped: a parent-death signal set now would fire at once.
        while os.getppid() == head:
            time.sleep(REPARENTING_POLL_SECONDS)
        if os.getppid() != self.zygote:
            os._exit(0)  # without the zygote nobody would end this process with the server
        die_with_parent()

    def _drop_stale_requests(self) -> None:
        """What the server had sent to the dead head is no longer wanted. End of file: the server is gone as well."""
        try:
            while self._sock.recv(PACKET + 1, socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            return
        os._exit(0)

    def _supersede(self) -> None:
        """Tell the older checkpoint that it is not needed any more. Until then a newer one holds the older's pipe open
        as well, so that never both of them see the head's end."""
        if self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._pipe, SUPERSEDED)
            os.close(self._pipe)
            self._pipe = None
