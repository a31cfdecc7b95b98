"""The WebAssembly engine: runs one guest in this process. Only it, its `guest_imports` and `artifact`, which
compiles, import wasmtime.

No epochs and no fuel: a guest that must stop is killed with its process, which also ends what no counter sees (sleep,
host calls) and costs running code nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wasmtime import Config, Engine, Func, Linker, Memory, Module, Store, Trap, WasmtimeError

from runtime.sandbox.baked_guest import map_files
from runtime.sandbox.descriptors import DOOR
from runtime.sandbox.filesystem import FileSystem
from runtime.sandbox.guest_image import HOST_MOUNT, PREFIX, WRITABLE_MOUNT, GuestImage
from runtime.sandbox.guest_imports import GuestImports
from runtime.sandbox.linear_memory import LinearMemory
from runtime.sandbox.output_capture import OutputCapture
from runtime.sandbox.wasi import Preview1

WASI_MODULE: Final = "wasi_snapshot_preview1"
WASM_STACK_BYTES: Final = 2 << 20  # well inside the 8 MiB process stack: deep recursion traps
OPTIONS_REVISION: Final = "2"  # part of the artifact's key; see `build_config`


class EngineError(Exception):
    """A guest image could not be compiled or loaded; the message names it."""


@dataclass(frozen=True)
class GuestEnd:
    """Why the guest's program ended by itself: it should never return, so each of these ends the session process."""

    kind: str  # exit | trap | returned
    detail: str


class Guest:
    """One instantiated guest. `run` enters it and comes back only if its program ends."""

    def __init__(
        self,
        image: GuestImage,
        artifact: Path,
        door: Callable[[bytes], bytes],
        on_exit: Callable[[int], None],
        memory_limit: int,
        output_cap: int,
    ) -> None:
        engine = Engine(build_config())
        self.memory = LinearMemory()
        self._store = Store(engine)
        self.limit_memory(memory_limit)
        arguments = [*image.arguments, image.program] if image.entry == "command" else [*image.arguments]
        self._wasi = Preview1(
            memory=self.memory,
            files=_build_files(image),
            arguments=arguments,
            environment=dict(image.environment),
            door=door,
            on_exit=on_exit,
            output_cap=output_cap,
        )
        linker = Linker(engine)
        self._imports = GuestImports(linker)
        for name, (types, function) in self._wasi.functions().items():
            self._imports.define(WASI_MODULE, name, types, function, result=name != "proc_exit")
        self._imports.define("host", "call", "iiii", _no_host_call)
        try:
            instance = linker.instantiate(self._store, Module.deserialize_file(engine, str(artifact)))
        except WasmtimeError as error:
            raise EngineError(f"guest image {image.name} could not be loaded from {artifact}: {error}") from error
        self._exports = instance.exports(self._store)
        self._bind(self._exports["memory"])
        self._image = image

    @property
    def stdout(self) -> OutputCapture:
        return self._wasi.stdout

    @property
    def stderr(self) -> OutputCapture:
        return self._wasi.stderr

    def limit_memory(self, limit: int) -> None:
        """Largest linear memory in bytes from now on; the guest sees MemoryError beyond it."""
        self._store.set_limits(memory_size=limit)

    def run(self) -> GuestEnd:
        """Run the program; returns only when the guest's program ends, which it never should."""
        try:
            if self._image.extensions:
                self._function("_initialize")(self._store)
            if self._image.entry == "command":
                self._function("_start")(self._store)
            else:
                source = self._image.program.encode()
                address = int(self._function("host_alloc")(self._store, len(source)))
                self.memory.write(address, source)
                self._function("turn")(self._store, address, len(source))
        except (Trap, WasmtimeError) as error:
            return GuestEnd("trap", str(error).splitlines()[-1])
        return GuestEnd("returned", "the guest's program returned")

    def _function(self, name: str) -> Func:
        function = self._exports[name]
        if not isinstance(function, Func):
            raise EngineError(f"guest image {self._image.name} exports no function {name}")
        return function

    def _bind(self, memory: object) -> None:
        if not isinstance(memory, Memory):
            raise EngineError("the guest exports no memory")
        base = ctypes.cast(memory.data_ptr(self._store), ctypes.c_void_p).value or 0
        store = self._store
        self.memory.bind(base, lambda: memory.data_len(store))


def _build_files(image: GuestImage) -> FileSystem:
    """The image's own files mapped read-only (shared by all forks), an empty writable folder, and the door."""
    files: dict[str, memoryview] = {DOOR: memoryview(b"")}
    files |= {path: memoryview(source) for path, source in image.guest_files().items()}
    files |= {path: memoryview(content) for path, content in image.archived_files().items()}
    for path, resource in image.files.items():
        with image.resource(resource).open("rb") as file:
            files[path] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    folders = dict.fromkeys(posixpath.dirname(path) for path in image.files)
    mounts = [WRITABLE_MOUNT, HOST_MOUNT, *folders, *image.archives]
    if image.layer is not None:
        files |= map_files(image.layer)
        mounts.append(PREFIX)
    return FileSystem(mounts, frozenset({WRITABLE_MOUNT}), files)


def _no_host_call(*_: int) -> int:
    """The build's own way out; this project uses the door instead."""
    return -1


def build_config() -> Config:
    """For compiling and for running: an artifact is of one configuration. Raise OPTIONS_REVISION when it changes."""
    config = Config()
    config.wasm_exceptions = True
    config.max_wasm_stack = WASM_STACK_BYTES
    return config
