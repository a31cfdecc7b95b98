"""The measured systems by the names of `--only`, each made where its own imports are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from benchmarks.peers.peer import Peer

OURS: Final = ("ours", "ours-scientific")
PEERS: Final = {
    "python": ("python", "PythonPeer"),
    "bubblewrap": ("bubblewrap", "BubblewrapPeer"),
    "pyeryx": ("eryx", "EryxPeer"),
    "pydantic-monty": ("monty", "MontyPeer"),
    "pyodide": ("pyodide", "PyodidePeer"),
    "ipykernel": ("ipykernel", "IpykernelPeer"),
}
NAMES: Final = (*OURS, *PEERS)


@contextmanager
def open_system(name: str) -> Iterator[Peer]:
    """ImportError if it is not installed."""
    if name in OURS:
        service = import_module("benchmarks.ours")
        peer: Peer = service.SandboxService(name.partition("-")[2] or "stdlib")
    else:
        module, kind = PEERS[name]
        peer = getattr(import_module(f"benchmarks.peers.{module}"), kind)()
    try:
        yield peer
    finally:
        peer.close()
