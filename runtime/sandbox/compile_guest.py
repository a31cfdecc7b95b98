"""Compiles a guest image into the cache and prints the artifact's path: `make guest`, and the service at its start.

A process of its own, so that the server never loads the engine nor keeps the compiler's memory.

    python -m runtime.sandbox.compile_guest [IMAGE] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from runtime.sandbox.engine import EngineError, engine_key, ensure_artifact
from runtime.sandbox.guest_image import IMAGES, STDLIB, GuestImage, artifact_path, default_folder

PROGRESS_SECONDS: Final = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.compile_guest", description=__doc__)
    parser.add_argument("image", nargs="?", default=STDLIB.name, choices=sorted(IMAGES))
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where compiled guests are kept")
    args = parser.parse_args()
    try:
        artifact = compile_with_progress(IMAGES[args.image], args.folder)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{artifact}\n")
    return 0


def compile_with_progress(image: GuestImage, folder: Path) -> Path:
    """The engine compiles outside the interpreter's lock, so this thread can say that it goes on."""
    if artifact_path(image, folder, engine_key()).exists():
        return ensure_artifact(image, folder)
    sys.stderr.write(f"==> compiling guest image {image.name} for this CPU (a minute or so, once)\n")
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        compiling = pool.submit(ensure_artifact, image, folder)
        while not wait([compiling], timeout=PROGRESS_SECONDS).done:
            sys.stderr.write(f"    … {time.monotonic() - started:.0f} s\n")
    return compiling.result()


if __name__ == "__main__":
    sys.exit(main())
