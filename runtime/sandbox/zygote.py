"""The zygote: one process per guest image that holds a warmed-up interpreter and forks a session whenever it is told
to.

Started by the server (`spawner`) by exec with an empty environment and one socket, before any key is read, so that
nothing of the server is in its memory. It is single-threaded; everything it imports or touches is shared by its
children.

    python -I -m runtime.sandbox.zygote IMAGE ARTIFACT SOCKET_FD MEMORY_BYTES OUTPUT_BYTES CPU_SHARES PARK_SECONDS
        SECCOMP

To the server, once: `{"t": "ready", "missing": [...]}` or `{"t": "failed", "detail": …}`. From the server:
`{"t": "spawn", "number": n}` with a socket.
"""

from __future__ import annotations

import argparse
import codecs
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from runtime.sandbox.baked_guest import baked_image
from runtime.sandbox.bare_fork import bare_fork
from runtime.sandbox.door import Door
from runtime.sandbox.engine import Guest
from runtime.sandbox.frames import receive, send
from runtime.sandbox.guest_image import IMAGES
from runtime.sandbox.hardening import Hardening, prctl, prepare

PR_SET_CHILD_SUBREAPER: Final = 36
SESSION_SOCKET: Final = 3
# Looked up lazily by CPython; after hardening a session can open no file to import them.
CODECS: Final = ("utf-8", "ascii", "latin-1", "utf-16-le", "utf-32-le", "unicode_escape", "idna")


class Zygote:
    """Waits for spawn requests; each child gets its own socket and never comes back here."""

    def __init__(self, control: socket.socket, hardening: Hardening) -> None:
        self._control = control
        self._hardening = hardening
        self.waiting = False  # or waited: the guest came as far as to ask for a session

    def wait_for_spawn(self) -> socket.socket:
        """Blocks for ever in the zygote; returns in each forked child, hardened, with the session's socket."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self.waiting = True
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; inherited by sessions
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        send(self._control, {"t": "ready", "missing": self._hardening.missing})
        while True:
            head, _, descriptors = receive(self._control)
            if head["t"] == "spawn" and descriptors and _fork_child():
                return self._become_session(descriptors[0], head["number"])
            for descriptor in descriptors:
                os.close(descriptor)

    def _become_session(self, descriptor: int, number: int) -> socket.socket:
        """Descriptors: 0 to 2 lead nowhere, 3 is the session's socket, and there are no others."""
        for standard in (1, 2):
            os.dup2(0, standard)
        os.dup2(descriptor, SESSION_SOCKET)
        os.closerange(SESSION_SOCKET + 1, os.sysconf("SC_OPEN_MAX"))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=SESSION_SOCKET)
        self._hardening.apply(number)
        return sock


def _fork_child() -> bool:
    """True in the child. A fork that is refused (no processes, no memory) costs that session only: the server sees its
    socket close."""
    try:
        return bare_fork() == 0
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.zygote", description=__doc__)
    parser.add_argument("image", help="name of a built-in image, or the file of a baked one")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("socket_fd", type=int)
    parser.add_argument("memory_bytes", type=int)
    parser.add_argument("output_bytes", type=int)
    parser.add_argument("cpu_shares", type=int)
    parser.add_argument("park_seconds", type=float)
    parser.add_argument("seccomp", type=bytes.fromhex, help="filter program")
    args = parser.parse_args()
    for codec in CODECS:
        codecs.lookup(codec)
    control = socket.socket(fileno=args.socket_fd)
    control.set_inheritable(False)
    zygote = Zygote(control, prepare(args.cpu_shares, args.seccomp))
    door = Door(zygote.wait_for_spawn, args.park_seconds)
    guest = Guest(
        image=IMAGES[args.image] if args.image in IMAGES else baked_image(Path(args.image)),
        artifact=args.artifact,
        door=door,
        on_exit=lambda code: door.die("exit", f"the guest called exit({code})"),
        memory_limit=args.memory_bytes,
        output_cap=args.output_bytes,
    )
    door.bind(guest)
    end = guest.run()
    if zygote.waiting:
        door.die(end.kind, end.detail)
    # It never came to ask for a session: an image with a preloaded module that cannot be imported.
    printed = guest.stderr.take().decode(errors="replace").strip().splitlines()
    send(control, {"t": "failed", "detail": (printed[-1] if printed else end.detail)[:300]})
    sys.exit(1)


if __name__ == "__main__":
    main()
