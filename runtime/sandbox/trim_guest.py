"""Makes the installed guest build smaller, at the build of a container image: what no session ever reads is taken out.

    python -m runtime.sandbox.trim_guest [--stdlib]

Always the unused snapshot variant and the module's function names; with --stdlib also the Python half of the
scientific packages, which leaves the image `stdlib` alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from runtime.sandbox.guest_image import STDLIB, STDLIB_ZIP
from runtime.sandbox.stdlib_zip import strip
from runtime.sandbox.wasm_sections import without_names

SNAPSHOT = "artifacts/python-snapshot.wasm"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.sandbox.trim_guest", description=__doc__)
    parser.add_argument("--stdlib", action="store_true", help="keep no package but the standard library")
    args = parser.parse_args()
    folder = STDLIB.resource("artifacts")
    before = _size(folder)
    STDLIB.resource(SNAPSHOT).unlink(missing_ok=True)
    module = STDLIB.resource(STDLIB.module_file)
    module.write_bytes(without_names(module.read_bytes()))
    if args.stdlib:
        strip(STDLIB.resource(STDLIB_ZIP))
    sys.stderr.write(f"==> guest build trimmed: {before / 1e6:.0f} MB, now {_size(folder) / 1e6:.0f} MB\n")
    return 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
