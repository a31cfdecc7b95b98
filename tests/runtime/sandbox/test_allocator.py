"""Large blocks go back to the kernel when they are freed, also where small ones that live on lie behind them."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

BLOCKS: Final = 20
BLOCK: Final = 8 << 20
PROGRAM: Final = f"""
import sys
from pathlib import Path
from runtime.sandbox.allocator import return_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "set" and not return_large_blocks():
    sys.exit("no such setting")
before = resident()
del (first := [bytearray(b"x") * {BLOCK}])[:]  # its end raises the threshold, if that still moves
large, small = [], []
for _ in range({BLOCKS}):
    large.append(bytearray(b"x") * {BLOCK})
    small.append(bytearray(2000))
large.clear()
print(resident() - before)
"""


def kept_bytes(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True).stdout)


def test_freed_large_blocks_are_returned_only_if_the_allocator_was_told_so() -> None:
    assert kept_bytes("set") < 4 << 20
    assert kept_bytes("unset") > BLOCKS * BLOCK // 2
