"""The inference service, which on SIGUSR1 writes how many asyncio tasks it has into the file BENCH_TASKS_FILE.

Started by `benchmarks.soak` (`python -m benchmarks.counted_inference`). Nothing else about it is different.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from runtime.inference.__main__ import main

TASKS_FILE: Final = "BENCH_TASKS_FILE"


def write_tasks(_signal: int, _frame: FrameType | None) -> None:
    """In the loop's own thread, so the running loop is the service's."""
    Path(os.environ[TASKS_FILE]).write_text(f"{len(asyncio.all_tasks())}\n", encoding="utf-8")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, write_tasks)
    sys.exit(main(sys.argv[1:]))
