"""Compiles a guest image into the cache and prints the artifact's path: `make guest`, and the service at its start.

A process of its own, so that the server never loads the engine nor keeps the compiler's memory.

    python -m runtime.sandbox.compile_guest [IMAGE] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from runtime.sandbox.engine import EngineError, ensure_artifact
from runtime.sandbox.guest_image import IMAGES, STDLIB, default_folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.compile_guest", description=__doc__)
    parser.add_argument("image", nargs="?", default=STDLIB.name, choices=sorted(IMAGES))
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where compiled guests are kept")
    args = parser.parse_args()
    try:
        artifact = ensure_artifact(IMAGES[args.image], args.folder)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{artifact}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
