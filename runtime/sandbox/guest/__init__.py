"""The guest's side of a session: the package `sandbox` inside WASM. Cells import what is here; the host never does.

It is convenience, not a boundary: code in a cell can reach and change all of it, so the host checks, caps and times
whatever comes out. `loop` is the program; the rest is in files by what it is about.
"""

from sandbox.api import after_cell, call, emit, stop

__all__ = ["after_cell", "call", "emit", "stop"]
