"""Where Node and the npm package `pyodide` are on this machine. Both are optional, so what is missing is said plainly.

    python -m runtime.sandbox.pyodide.installation [--folder FOLDER]

prints the two paths, or one line that says what to do, and ends with status 1.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.sandbox.guest_image import default_folder

OLDEST_NODE: Final = 20
NODE_SECONDS: Final = 30.0
HERE: Final = Path(__file__).parent
STDLIB: Final = "stdlib-compiled.zip"  # beside the packages; the last thing that an installation makes
PACKAGE: Final = "pyodide"
HOW_TO_GET_IT: Final = "run `make pyodide`, or `python -m runtime.sandbox.pyodide.install --folder FOLDER`"


class InstallationError(Exception):
    """Node or the package is missing or too old; the message is one line that says what to do."""


@dataclass(frozen=True)
class Installation:
    """`node` is the executable, `packages` a `node_modules` folder with Pyodide in it."""

    node: Path
    packages: Path


def find_installation(folders: Sequence[Path]) -> Installation:
    """InstallationError if there is none; `folders` are looked into in this order."""
    return Installation(find_node(), _find_packages(folders))


def wanted_version() -> str:
    """The version of package.json."""
    manifest = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    return str(manifest["dependencies"][PACKAGE])


def folder_name() -> str:
    """Of the folder that holds this version's `node_modules`."""
    return f"{PACKAGE}-{wanted_version()}"


def find_node(wanted_by: str = "guest image pyodide") -> Path:
    """The executable that PATH leads to. InstallationError if there is none, or if it is too old."""
    found = shutil.which("node")
    if found is None:
        raise InstallationError(
            f"{wanted_by} needs Node {OLDEST_NODE} or newer, and there is no `node` on PATH: install it"
        )
    node = Path(found).resolve()
    try:
        answer = subprocess.run(  # noqa: S603 - the program that is about to run the guests
            [node, "--version"], capture_output=True, text=True, timeout=NODE_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InstallationError(f"{wanted_by}: {node} does not run: {error}") from error
    version = re.match(r"v(\d+)\.", answer.stdout)
    if version is None or int(version.group(1)) < OLDEST_NODE:
        raise InstallationError(
            f"{wanted_by} needs Node {OLDEST_NODE} or newer; {node} is {answer.stdout.strip()}: update it"
        )
    return node


def _find_packages(folders: Sequence[Path]) -> Path:
    for folder in folders:
        packages = folder / folder_name() / "node_modules"
        if (packages / STDLIB).is_file():
            return packages
    looked = ", ".join(str(folder / folder_name()) for folder in folders)
    raise InstallationError(
        f"guest image pyodide needs the npm package {PACKAGE} {wanted_version()}, which is not in {looked}: "
        f"{HOW_TO_GET_IT}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.pyodide.installation", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="looked into before the cache folder")
    args = parser.parse_args()
    try:
        found = find_installation(list(dict.fromkeys([args.folder, default_folder()])))
    except InstallationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{found.node}\n{found.packages}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
