"""What a pool may name as its image, and what a session of it can do; the server knows images by this alone.

`settings`, `service` and `spawner` read it. How an image is made and run is the business of the processes named here:
`guest_image` for CPython on WASI, `pyodide` for Pyodide in Node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.sandbox.guest_catalogue import find_image

MEGABYTE: Final = 1 << 20


@dataclass(frozen=True)
class Image:
    """`preparation` and `host` are modules with their first arguments: the one makes sure that all is there and prints
    what the other is started with besides, a line each; the other starts sessions."""

    name: str
    preparation: tuple[str, ...]
    host: tuple[str, ...]
    session_memory: int  # bytes of an idle session, with room for small data
    packages: tuple[str, ...] = ()  # what a cell may import besides the standard library
    start_seconds: float = 20.0  # the longest start of a session: a fork, on a machine that has much else to do
    fork: bool = True
    rollback: bool = True
    shared: bool = True  # sessions share their memory until they write to it, so that spares cost next to nothing


PYODIDE: Final = Image(
    name="pyodide",
    preparation=("runtime.sandbox.pyodide.installation",),
    host=("runtime.sandbox.pyodide.launcher",),
    session_memory=160 * MEGABYTE,
    start_seconds=120.0,  # Node and Pyodide are loaded: 2.4 s of CPU
    fork=False,
    rollback=False,
    shared=False,
)


def image_called(name: str, folders: Sequence[Path]) -> Image:
    """GuestImageError if there is none of that name in `folders`; the preparation says whether `pyodide` is there."""
    if name == PYODIDE.name:
        return PYODIDE
    found = find_image(name, folders)
    return Image(
        name=found.name,
        preparation=("runtime.sandbox.compile_guest", name),
        host=("runtime.sandbox.zygote", found.reference),
        session_memory=found.session_memory,
        packages=found.packages,
    )
