"""Where a compiled guest is looked for and where one is compiled to, with an empty WebAssembly module as the guest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.sandbox.artifact import artifact_path, compile_artifact, engine_key, find_artifact
from runtime.sandbox.compile_guest import MEMORY_PER_BYTE, check_memory
from runtime.sandbox.engine import EngineError
from runtime.sandbox.guest_image import STDLIB, GuestImage

EMPTY_MODULE = b"\0asm\1\0\0\0"


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GuestImage:
    package = tmp_path / "packages" / "empty_guest"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "empty.wasm").write_bytes(EMPTY_MODULE)
    monkeypatch.syspath_prepend(package.parent)
    return GuestImage("empty", distribution="wasmtime", package="empty_guest", module_file="empty.wasm", entry="turn")


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A folder that nobody can make, root included: its parent is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "guests"


def test_a_portable_artifact_in_the_first_folder_is_taken_as_it_is(image: GuestImage, tmp_path: Path) -> None:
    shipped = compile_artifact(image, [tmp_path / "shipped"], portable=True)
    assert "portable" in shipped.name
    assert find_artifact(image, [tmp_path / "shipped", tmp_path / "cache"]) == shipped


def test_an_artifact_can_be_read_by_every_user(image: GuestImage, tmp_path: Path) -> None:
    assert compile_artifact(image, [tmp_path]).stat().st_mode & 0o777 == 0o644


def test_an_artifact_of_this_cpu_is_preferred_to_a_portable_one(image: GuestImage, tmp_path: Path) -> None:
    compile_artifact(image, [tmp_path / "shipped"], portable=True)
    own = compile_artifact(image, [tmp_path / "cache"])
    assert find_artifact(image, [tmp_path / "shipped", tmp_path / "cache"]) == own


def test_an_artifact_that_the_engine_refuses_is_not_found(image: GuestImage, tmp_path: Path) -> None:
    artifact_path(image, tmp_path, engine_key(), portable=True).write_bytes(b"of another CPU")
    assert find_artifact(image, [tmp_path]) is None


def test_without_a_usable_artifact_the_first_writable_folder_gets_one(
    image: GuestImage, unwritable: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    made = compile_artifact(image, [unwritable, cache])
    assert made.parent == cache
    assert find_artifact(image, [unwritable, cache]) == made


def test_without_a_writable_folder_the_error_names_all_of_them(image: GuestImage, unwritable: Path) -> None:
    with pytest.raises(EngineError, match=str(unwritable)):
        compile_artifact(image, [unwritable])


def test_the_program_says_in_one_line_that_a_portable_guest_has_nowhere_to_go(unwritable: Path) -> None:
    command = [sys.executable, "-m", "runtime.sandbox.compile_guest", "--portable", "--folder", str(unwritable)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert str(unwritable) in done.stderr.splitlines()[-1]


def test_a_container_too_small_to_compile_in_is_told_so_before_the_kernel_kills_it(image: GuestImage) -> None:
    check_memory(image, len(EMPTY_MODULE) * MEMORY_PER_BYTE)
    with pytest.raises(EngineError, match=r"guest image empty must be compiled.*raise its memory limit"):
        check_memory(image, len(EMPTY_MODULE) * MEMORY_PER_BYTE - 1)


def test_the_default_memory_of_a_pod_does_not_hold_the_compilation_of_the_real_guest() -> None:
    with pytest.raises(EngineError, match=r"takes 2\.\d GB of memory, and this container may use 1\.1 GB"):
        check_memory(STDLIB, 1 << 30)
