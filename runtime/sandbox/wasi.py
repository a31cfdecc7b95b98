"""WASI preview 1 for guests that are forked: in-memory files, fresh randomness, no threads, no host descriptors.

wasmtime's own WASI is wrong under fork: its random generator repeats in every child, its sleep hangs and its writes
start threads. This one keeps nothing but Python objects. `functions()` is what `engine` links; each returns an errno.

Formats: wasi_snapshot_preview1.witx.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.sandbox.descriptors import DescriptorTable
from runtime.sandbox.errno import Errno, WasiError
from runtime.sandbox.filesystem import FileSystem
from runtime.sandbox.linear_memory import LinearMemory, OutOfBoundsError
from runtime.sandbox.output_capture import OutputCapture
from runtime.sandbox.wasi_descriptors import DescriptorCalls
from runtime.sandbox.wasi_paths import PathCalls
from runtime.sandbox.wasi_signatures import SIGNATURES
from runtime.sandbox.wasi_system import SystemCalls

WasiFunction = Callable[..., int]


class Preview1:
    """The state behind one guest's WASI imports.

    `door` answers a message; `on_exit` is called for proc_exit and must not return.
    """

    def __init__(
        self,
        memory: LinearMemory,
        files: FileSystem,
        arguments: list[str],
        environment: dict[str, str],
        door: Callable[[bytes], bytes],
        on_exit: Callable[[int], None],
        output_cap: int,
    ) -> None:
        table = DescriptorTable(files)
        self._descriptors = DescriptorCalls(memory, files, table, door, output_cap)
        self._groups = (
            SystemCalls(memory, arguments, environment, on_exit),
            self._descriptors,
            PathCalls(memory, files, table),
        )

    @property
    def stdout(self) -> OutputCapture:
        return self._descriptors.stdout

    @property
    def stderr(self) -> OutputCapture:
        return self._descriptors.stderr

    def functions(self) -> dict[str, tuple[str, WasiFunction]]:
        """Name -> (parameter types, function); `i` is i32, `I` is i64. Sockets, links and signals answer NOSYS."""
        return {name: (types, _guarded(self._find(name))) for name, types in SIGNATURES.items()}

    def _find(self, name: str) -> WasiFunction:
        found = (getattr(group, name) for group in self._groups if hasattr(group, name))
        return next(found, _not_supported)


def _guarded(function: WasiFunction) -> WasiFunction:
    """Errors become errno: an exception in a host function would trap the guest."""

    def guarded(*arguments: int) -> int:
        try:
            return function(*arguments)
        except WasiError as error:
            return error.errno
        except OutOfBoundsError:
            return Errno.FAULT

    return guarded


def _not_supported(*_: int) -> int:
    return Errno.NOSYS
