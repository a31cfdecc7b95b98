"""Starts a Pyodide session whenever it is told to: what the zygote is for the WASI images, but every session's Node and
Pyodide are started afresh.

Started by the server (`spawner`) by exec with an empty environment and one socket, before any key is read.

    python -I -m runtime.sandbox.pyodide.launcher NODE PACKAGES SOCKET_FD MEMORY_BYTES OUTPUT_BYTES CPU_SHARES
        PARK_SECONDS SECCOMP

To the server: `{"t": "ready", "missing": [...]}` once. From the server: `{"t": "spawn", "number": n}` with a socket.
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
import signal
import socket
from importlib import resources
from pathlib import Path
from typing import Final, NoReturn

from runtime.sandbox.frames import receive, send
from runtime.sandbox.guest_image import HOST_MOUNT
from runtime.sandbox.hardening import Hardening, HardeningError, prepare
from runtime.sandbox.landlock import LandlockError
from runtime.sandbox.pyodide.installation import HERE, Installation
from runtime.sandbox.pyodide.node_process import (
    NodeStart,
    limit_writable_memory,
    node_hardening,
    prepare_node,
    relay_hardening,
)
from runtime.sandbox.pyodide.pipes import NodePipes
from runtime.sandbox.pyodide.relay import Relay

SESSION_SOCKET, FROM_NODE, TO_NODE = range(3, 6)  # descriptors of a session process
CODECS: Final = ("utf-8", "ascii", "latin-1")  # looked up lazily by CPython; a hardened process can open no file


class Launcher:
    """Sessions have `memory_bytes` of linear memory and `output_bytes` of raw output each."""

    def __init__(
        self, control: socket.socket, hardening: Hardening, node: NodeStart, memory_bytes: int, output_bytes: int
    ) -> None:
        self._control = control
        self._hardening = hardening
        self._node = node
        self._memory_bytes = memory_bytes
        self._begin = begin_frame(memory_bytes, output_bytes)

    def run(self) -> NoReturn:
        """Until the server ends, which `receive` sees."""
        send(self._control, {"t": "ready", "missing": self._hardening.missing})
        while True:
            head, _, descriptors = receive(self._control)
            if head["t"] == "spawn" and descriptors and _fork_child():
                self._become_session(descriptors[0], head["number"])
            for descriptor in descriptors:
                os.close(descriptor)

    def _become_session(self, sock: int, number: int) -> NoReturn:
        try:
            for standard in (1, 2):
                os.dup2(0, standard)
            from_relay, to_node = os.pipe()
            from_node, to_relay = os.pipe()
            node = os.fork()
            if node == 0:
                self._node.execute(number, from_relay, to_relay)
            _move({sock: SESSION_SOCKET, from_node: FROM_NODE, to_node: TO_NODE})
            session = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=SESSION_SOCKET)
            relay = Relay(session, NodePipes(FROM_NODE, TO_NODE), node)
            self._confine(relay, node, number)
            relay.run()
        finally:
            os._exit(1)  # this process must never go on as a second launcher

    def _confine(self, relay: Relay, node: int, number: int) -> None:
        """Harden the relay, whose Node did so itself, and wait for Pyodide. No code of a cell has run yet."""
        try:
            self._hardening.take_identity(number)
            memory = relay.boot(self._begin)
            # By Node's own user: another one may not set its limits, not even root without a capability.
            limit_writable_memory(node, memory, self._memory_bytes)
            self._hardening.confine()
        except (OSError, HardeningError, LandlockError) as error:
            relay.die(f"{type(error).__name__}: {error}")


def _move(targets: dict[int, int]) -> None:
    """Give descriptors their numbers and close all others above the standard ones."""
    above = max(*targets, *targets.values()) + 1
    moved = {os.dup2(source, above + index): target for index, (source, target) in enumerate(targets.items())}
    for source, target in moved.items():
        os.dup2(source, target, inheritable=False)
    os.closerange(max(targets.values()) + 1, os.sysconf("SC_OPEN_MAX"))


def _fork_child() -> bool:
    """True in the child. A fork that is refused (no processes, no memory) costs that session only."""
    try:
        return os.fork() == 0
    except OSError:
        return False


def begin_frame(memory_bytes: int, output_bytes: int) -> bytes:
    """The driver's first frame: the package `sandbox` as files of the guest, its program, the caps."""
    folder = resources.files("runtime.sandbox") / "guest"
    sources = {
        f"{HOST_MOUNT}/sandbox/{entry.name}": entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".py")
    }
    program = (HERE / "guest_start.py").read_text(encoding="utf-8")
    begin = {"files": sources, "program": program, "memory": memory_bytes, "output": output_bytes}
    return json.dumps(begin).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.pyodide.launcher", description=__doc__)
    parser.add_argument("node", type=Path)
    parser.add_argument("packages", type=Path)
    parser.add_argument("socket_fd", type=int)
    parser.add_argument("memory_bytes", type=int)
    parser.add_argument("output_bytes", type=int)
    parser.add_argument("cpu_shares", type=int)
    parser.add_argument("park_seconds", type=float, help="of no use here: there is no checkpoint to drop")
    parser.add_argument("seccomp", type=bytes.fromhex, help="filter program of session processes")
    args = parser.parse_args()
    for codec in CODECS:
        codecs.lookup(codec)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; inherited by sessions
    control = socket.socket(fileno=args.socket_fd)
    control.set_inheritable(False)
    hardening = prepare(args.cpu_shares, args.seccomp)
    node = prepare_node(Installation(args.node, args.packages), node_hardening(hardening))
    Launcher(control, relay_hardening(hardening), node, args.memory_bytes, args.output_bytes).run()


if __name__ == "__main__":
    main()
