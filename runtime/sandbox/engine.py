"""The WebAssembly engine: compiles a guest image, and runs one guest in this process. The only importer of wasmtime.

No epochs and no fuel: a guest that must stop is killed with its process, which also ends what no counter sees (sleep,
host calls) and costs running code nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import posixpath
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from wasmtime import Config, Engine, Func, FuncType, Linker, Memory, Module, Store, Trap, ValType, WasmtimeError
from wasmtime import _ffi as ffi  # `Config` has no property for the target

from runtime.sandbox.descriptors import DOOR
from runtime.sandbox.filesystem import FileSystem
from runtime.sandbox.guest_image import HOST_MOUNT, WRITABLE_MOUNT, GuestImage, artifact_path
from runtime.sandbox.linear_memory import LinearMemory
from runtime.sandbox.output_capture import OutputCapture
from runtime.sandbox.wasi import Preview1

WASI_MODULE: Final = "wasi_snapshot_preview1"
WASM_STACK_BYTES: Final = 2 << 20  # well inside the 8 MiB process stack: deep recursion traps
OPTIONS_REVISION: Final = "1"  # part of the artifact's key; raise it when `_config` changes


class EngineError(Exception):
    """A guest image could not be compiled or loaded; the message names it."""


@dataclass(frozen=True)
class GuestEnd:
    """Why the guest's program ended by itself: it should never return, so each of these ends the session process."""

    kind: str  # exit | trap | returned
    detail: str


def engine_key() -> str:
    return f"wasmtime{version('wasmtime')}-{OPTIONS_REVISION}"


def find_artifact(image: GuestImage, folders: Sequence[Path]) -> Path | None:
    """The compiled form of `image` that this machine can load: made for its CPU, else for any of its architecture."""
    for portable in (False, True):
        for folder in folders:
            path = artifact_path(image, folder, engine_key(), portable=portable)
            if path.exists() and _loads(path):
                return path
    return None


def compile_artifact(image: GuestImage, folders: Sequence[Path], *, portable: bool = False) -> Path:
    """Compile `image` into the first of `folders` that can be written. Safe beside other processes."""
    folder = next((folder for folder in folders if _is_writable(folder)), None)
    if folder is None:
        tried = ", ".join(map(str, folders))
        raise EngineError(f"guest image {image.name} must be compiled, but none of these can be written: {tried}")
    path = artifact_path(image, folder, engine_key(), portable=portable)
    try:
        engine = Engine(_config(portable=portable))
        serialized = Module.from_file(engine, str(image.resource(image.module_file))).serialize()
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(serialized)
        Path(file.name).replace(path)
    except (WasmtimeError, OSError) as error:
        raise EngineError(f"guest image {image.name} could not be compiled into {folder}: {error}") from error
    return path


def _loads(path: Path) -> bool:
    """The engine compares what the artifact was compiled for with this CPU; it maps the file, which takes 5 ms."""
    try:
        Module.deserialize_file(Engine(_config()), str(path))
    except WasmtimeError:
        return False
    return True


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


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
        engine = Engine(_config())
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
        for name, (types, function) in self._wasi.functions().items():
            linker.define_func(WASI_MODULE, name, _function_type(name, types), function)
        linker.define_func("host", "call", FuncType([ValType.i32()] * 4, [ValType.i32()]), _no_host_call)
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
    return FileSystem(mounts, frozenset({WRITABLE_MOUNT}), files)


def _no_host_call(*_: int) -> int:
    """The build's own way out; this project uses the door instead."""
    return -1


def _config(*, portable: bool = False) -> Config:
    """A named target is compiled for with what all its CPUs have, no target with what this CPU has."""
    config = Config()
    config.wasm_exceptions = True
    config.max_wasm_stack = WASM_STACK_BYTES
    if portable:
        target = f"{platform.machine()}-unknown-linux-gnu"
        error = ffi.wasmtime_config_target_set(config.ptr(), ctypes.create_string_buffer(target.encode()))
        if error:
            raise WasmtimeError._from_ptr(error)
    return config


def _function_type(name: str, types: str) -> FuncType:
    value_types = {"i": ValType.i32, "I": ValType.i64}
    results = [] if name == "proc_exit" else [ValType.i32()]
    return FuncType([value_types[letter]() for letter in types], results)


def cpu_count() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))
