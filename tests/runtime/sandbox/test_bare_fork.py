"""A fork without CPython's work around it: the child of a process with one thread runs on as after any fork."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

# What zygote, session and checkpoint do after a fork: wait in a read, import, catch a signal, collect, fork again.
PROGRAM: Final = """
import gc, os, signal
from runtime.sandbox.bare_fork import bare_fork

reading, writing = os.pipe()
if (child := bare_fork()) == 0:
    os.close(writing)
    assert os.read(reading, 1) == b""
    import json.tool
    caught = []
    signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
    os.kill(os.getpid(), signal.SIGALRM)
    gc.collect()
    if (grandchild := bare_fork()) == 0:
        os._exit(3 + len(caught))
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) + 3)
os.close(writing)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

REFUSED: Final = """
import os, resource
from runtime.sandbox.bare_fork import bare_fork

if os.geteuid() == 0:
    os.setresuid(4_000_000, 4_000_000, 4_000_000)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    bare_fork()
except BlockingIOError as error:
    print(error.strerror)
"""


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_child_reads_imports_catches_signals_and_forks() -> None:
    assert printed(PROGRAM) == "7"


def test_a_refused_fork_is_an_error_that_says_why() -> None:
    assert printed(REFUSED) == "Resource temporarily unavailable"
