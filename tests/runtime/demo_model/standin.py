"""The stand-in model as a real process, for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def run_standin(*arguments: str) -> Iterator[str]:
    """Start it on a free port; yields its base URL, such as http://127.0.0.1:41000/v1."""
    command = [sys.executable, "-m", "runtime.inference.demo_model", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the stand-in ended before it listened"
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=30)
