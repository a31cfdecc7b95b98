"""The sandbox service, with `zygote` in the place of its own: every session process speaks whatever its server must
survive.

    python -m tests.runtime.sandbox.hostile
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Final

from runtime.sandbox.__main__ import main

ROOT: Final = Path(__file__).parents[4]
INTERPRETER: Final = """#!/bin/sh
if [ "$3" = runtime.sandbox.zygote ]; then
  cd {root} && exec {python} -m tests.runtime.sandbox.hostile.zygote "$6"
fi
exec {python} "$@"
"""


def install(folder: Path) -> None:
    """The service starts its zygote with `sys.executable -I -m runtime.sandbox.zygote IMAGE ARTIFACT SOCKET_FD …`."""
    script = folder / "python"
    script.write_text(INTERPRETER.format(root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable)))
    script.chmod(0o755)
    sys.executable = os.fspath(script)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        install(Path(name))
        sys.exit(main())
