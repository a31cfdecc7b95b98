"""The compiled form of a guest image: where it is kept, whether this machine can load it, and how it is made.

Compiling takes seconds to a minute, so the artifact is cached under a key of everything it depends on: the module's
bytes, the engine's version and options, and the CPU. `make guest` fills the cache; the service does so at start if it
must. A container image carries an artifact for any CPU of its architecture. Used by `compile_guest`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from wasmtime import Config, Engine, Module, WasmtimeError
from wasmtime import _ffi as ffi  # `Config` has no property for the target

from runtime.sandbox.engine import OPTIONS_REVISION, EngineError, build_config
from runtime.sandbox.guest_image import GuestImage
from runtime.sandbox.wasm_sections import without_names

READABLE: Final = 0o644  # by every user: a folder of guests is made by one and used by another


def artifact_path(image: GuestImage, folder: Path, engine_key: str, *, portable: bool = False) -> Path:
    """Where the compiled module of `image` is kept; another build, engine or CPU gives another name.

    Images of one module share it. `portable`: the one that uses no more than what every CPU of this architecture has.
    """
    build = f"{image.distribution}{version(image.distribution)}-{Path(image.module_file).stem}"
    cpu = "portable" if portable else hashlib.sha256(cpu_features().encode()).hexdigest()[:12]
    return folder / f"{build}-{engine_key}-{platform.machine()}-{cpu}.cwasm"


def cpu_features() -> str:
    """The CPU's feature flags as the kernel names them (x86: `flags`, arm64: `Features`)."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return " ".join(sorted(value.split()))
    return platform.processor()


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
        engine = Engine(_targeted(portable=portable))
        module = without_names(image.resource(image.module_file).read_bytes())
        serialized = Module(engine, module).serialize()
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(serialized)
            os.fchmod(file.fileno(), READABLE)
        Path(file.name).replace(path)
    except (WasmtimeError, OSError, ValueError) as error:
        raise EngineError(f"guest image {image.name} could not be compiled into {folder}: {error}") from error
    return path


def _loads(path: Path) -> bool:
    """The engine compares what the artifact was compiled for with this CPU; it maps the file, which takes 5 ms."""
    try:
        Module.deserialize_file(Engine(build_config()), str(path))
    except WasmtimeError:
        return False
    return True


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _targeted(*, portable: bool) -> Config:
    """A named target is compiled for with what all its CPUs have, no target with what this CPU has."""
    config = build_config()
    if portable:
        target = f"{platform.machine()}-unknown-linux-gnu"
        error = ffi.wasmtime_config_target_set(config.ptr(), ctypes.create_string_buffer(target.encode()))
        if error:
            raise WasmtimeError._from_ptr(error)
    return config
