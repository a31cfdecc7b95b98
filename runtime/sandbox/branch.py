"""A branch is a copy of a live session that goes on as a session of its own: same state, another socket.

It is forked twice, so that its parent is the zygote like every head's, and it neither ends with the session that it was
forked from nor outlives the zygote. Used by `door`, in session processes only.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final

from runtime.sandbox.bare_fork import bare_fork
from runtime.sandbox.hardening import die_with_parent

REPARENTING_POLL_SECONDS: Final = 0.0002


def fork_branch(sock: socket.socket, descriptor: int, zygote: int) -> bool:
    """True in the branch, where `sock` now leads to the other end of `descriptor`, which is closed in both.

    A fork that is refused costs nothing but the branch: the server sees the socket's end.
    """
    try:
        middle = bare_fork()
    except OSError:
        middle = -1
    if middle != 0:
        os.close(descriptor)
        return False
    middle = os.getpid()
    try:
        branch = bare_fork()
    except OSError:
        os._exit(1)
    if branch != 0:
        os._exit(0)
    os.dup2(descriptor, sock.fileno(), inheritable=False)
    os.close(descriptor)
    while os.getppid() == middle:
        time.sleep(REPARENTING_POLL_SECONDS)
    if os.getppid() != zygote:
        os._exit(0)
    die_with_parent()
    return True
