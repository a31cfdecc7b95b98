"""A virtual environment beside the tests' own, from a lock of its own: for packages that the project's do not go with.

Built once for each content of the lock, into the cache (`$XDG_CACHE_HOME/rlm-operator/NAME-…`); one process builds it,
others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

_LOCKS = Path(__file__).parents[1] / "requirements"


def install_environment(name: str) -> Path:
    """The folder of the environment that `requirements/NAME.lock` describes."""
    lock = _LOCKS / f"{name}.lock"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlm-operator"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    with (cache / f"{name}.lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not (target / "installed").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", target], check=True)
            pip: list[str | Path] = [target / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
            (target / "installed").touch()
    return target
