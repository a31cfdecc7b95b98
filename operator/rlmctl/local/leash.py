"""Runs a command that must not outlive `rlmctl`, however that one ends.

Started as a script by the supervisor: `leash.py PARENT COMMAND…`. It asks the kernel to be killed when its parent dies,
then becomes the command. A plain script that imports next to nothing, since it stands before every process's start; the
supervisor runs it rather than code between fork and exec, which is not safe in a program with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(1)  # it died before the kernel was asked
    os.execvp(command[0], command)  # noqa: S606  # the command is a rendered container's, or our own stand-in


if __name__ == "__main__":
    main()
