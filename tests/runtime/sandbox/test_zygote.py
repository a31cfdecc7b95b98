"""What the zygote holds, each session pays for: its page tables are copied. And its forks run no hooks."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

# threading and random have hooks for forks; the others are large and not needed there.
UNWANTED: Final = {
    "asyncio",
    "email",
    "logging",
    "pydantic",
    "pyseccomp",
    "random",
    "subprocess",
    "threading",
    "zipfile",
}


def test_the_zygote_loads_nothing_that_runs_at_fork_or_is_large() -> None:
    program = "import json, sys, runtime.sandbox.zygote; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "runtime.sandbox.door" in loaded
    assert loaded & UNWANTED == set()


def test_nothing_in_the_zygote_asks_to_be_called_at_a_fork_as_bare_forks_call_nobody() -> None:
    program = (
        "import os; asked = []; os.register_at_fork = lambda **hooks: asked.append(list(hooks))\n"
        "import runtime.sandbox.zygote; print(asked)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
