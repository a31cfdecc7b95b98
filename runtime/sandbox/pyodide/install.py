"""Installs the npm package `pyodide` by `npm ci`, by the versions and hashes of package-lock.json, and compiles the
standard library in it: `make pyodide` and the tests call it, and so may the build of a container image.

    python -m runtime.sandbox.pyodide.install [--folder FOLDER]

Into FOLDER/pyodide-VERSION, in one step at the end, so that a folder that is there is whole. No script of a package
is run.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.sandbox.guest_image import default_folder
from runtime.sandbox.pyodide.installation import HERE, STDLIB, InstallationError, find_node, folder_name

MANIFESTS: Final = ("package.json", "package-lock.json")
NPM_ARGUMENTS: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
STEP_SECONDS: Final = 600.0
FOLDER_MODE: Final = 0o755  # sessions read it under a uid of their own


def install(folder: Path) -> Path:
    """FOLDER/pyodide-VERSION, installed first if it is not there. InstallationError."""
    return install_npm(HERE, folder / folder_name(), _compile_stdlib)


def install_npm(manifests: Path, target: Path, finish: Callable[[Path], None] = lambda _: None) -> Path:
    """`target` with `node_modules` by the lock in `manifests`, installed first if it is not there. `finish` is called
    with that folder before it is in place. Two runs at once install once. InstallationError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f".{target.name}.lock")):
            if not target.is_dir():
                _install_anew(manifests, target, finish)
    except OSError as error:
        raise InstallationError(f"{target} could not be written: {error}") from error
    return target


def _install_anew(manifests: Path, target: Path, finish: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        unfinished = Path(name) / "package"
        unfinished.mkdir(mode=FOLDER_MODE)
        for manifest in MANIFESTS:
            shutil.copy(manifests / manifest, unfinished)
        _run_npm(unfinished)
        finish(unfinished / "node_modules")
        unfinished.rename(target)


def _run_npm(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise InstallationError("packages are installed by `npm`, which is not on PATH: install Node")
    _run("`npm ci`", [npm, *NPM_ARGUMENTS], folder)


def _compile_stdlib(packages: Path) -> None:
    script, target = HERE / "compile_stdlib.mjs", packages / STDLIB
    _run("compiling the standard library", [find_node(), script, packages, target], packages)


def _run(what: str, command: Sequence[str | Path], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the machine's npm and Node with our own arguments
            command, cwd=folder, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InstallationError(f"{what} did not end within {STEP_SECONDS:g} s") from error
    if done.returncode:
        raise InstallationError(f"{what} ended with status {done.returncode}: {done.stderr.strip()[-2000:]}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.pyodide.install", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where guest images are kept")
    args = parser.parse_args()
    try:
        installed = install(args.folder)
    except InstallationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{installed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
