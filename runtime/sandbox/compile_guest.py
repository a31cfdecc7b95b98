"""Compiles a guest image if it must be and prints the artifact's path: `make guest`, the service at its start, and
the build of the container image.

A process of its own, so that the server never loads the engine nor keeps the compiler's memory. The folder may be
read-only, as it is in a container: what it lacks is compiled into the user's cache folder.

    python -m runtime.sandbox.compile_guest [IMAGE] [--folder FOLDER] [--portable]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from runtime.sandbox.artifact import compile_artifact, find_artifact
from runtime.sandbox.engine import EngineError
from runtime.sandbox.guest_catalogue import find_image, guest_folders
from runtime.sandbox.guest_image import STDLIB, GuestImage, GuestImageError, default_folder
from runtime.sandbox.memory_meter import find_meter

PROGRESS_SECONDS: Final = 5.0
MEMORY_PER_BYTE: Final = 26  # of the module; measured: 2.26 GB at the peak for 85 MB, also with one thread


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.compile_guest", description=__doc__)
    parser.add_argument("image", nargs="?", default=STDLIB.name, help="its name, also a baked one's")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where compiled guests are kept")
    parser.add_argument("--portable", action="store_true", help="compile for every CPU of this architecture")
    args = parser.parse_args()
    folders = guest_folders(args.folder)
    try:
        image = find_image(args.image, folders)
        if args.portable:
            artifact = compile_with_progress(image, [args.folder], portable=True)
        else:
            artifact = find_artifact(image, folders) or compile_with_progress(image, folders)
    except (EngineError, GuestImageError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{artifact}\n")
    return 0


def check_memory(image: GuestImage, limit: int) -> None:
    """EngineError if compiling takes more than the `limit` of this container in bytes: the kernel would kill it all."""
    needed = MEMORY_PER_BYTE * image.resource(image.module_file).stat().st_size
    if needed > limit:
        raise EngineError(
            f"guest image {image.name} must be compiled, which takes {needed / 1e9:.1f} GB of memory, and this "
            f"container may use {limit / 1e9:.1f} GB: raise its memory limit, or use an image made for this CPU"
        )


def compile_with_progress(image: GuestImage, folders: Sequence[Path], *, portable: bool = False) -> Path:
    """The engine compiles outside the interpreter's lock, so this thread can say that it goes on."""
    check_memory(image, find_meter().limit)
    target = "every CPU of this architecture" if portable else "this CPU"
    sys.stderr.write(f"==> compiling guest image {image.name} for {target} (a minute or so, once)\n")
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        compiling = pool.submit(compile_artifact, image, folders, portable=portable)
        while not wait([compiling], timeout=PROGRESS_SECONDS).done:
            sys.stderr.write(f"    … {time.monotonic() - started:.0f} s\n")
    return compiling.result()


if __name__ == "__main__":
    sys.exit(main())
