"""TCP ports of the loopback interface for tests that run side by side."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from typing import Final

# Below Linux's own range (32768 and up), so that no other program's "any port" takes one between the look and the use.
PORT_RANGE: Final = range(20000, 32000)


def free_port(host: str = "127.0.0.1") -> int:
    """One that nothing listens on, to listen on soon; `0.0.0.0`: free on all of 127/8."""
    for port in random.sample(PORT_RANGE, 200):
        with socket.socket() as candidate:
            try:
                candidate.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port among 200 of {PORT_RANGE.start}-{PORT_RANGE.stop} on {host}")


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """One that refuses connections for as long as this lasts: taken, and not listened on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
