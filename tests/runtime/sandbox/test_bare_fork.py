"""A fork that leaves CPython's part for later: the child can wait without it, and do all with it."""

from __future__ import annotations

import os
import threading

from runtime.sandbox.bare_fork import bare_fork, finish_fork

ENOUGH = 7


def test_the_child_waits_for_its_parent_and_is_a_whole_process_once_the_fork_is_finished() -> None:
    reading, writing = os.pipe()
    if (child := bare_fork()) == 0:
        os.close(writing)
        os.read(reading, 1)
        finish_fork()
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(ENOUGH))
        thread.start()
        thread.join()
        os._exit(found[0] if threading.main_thread().ident == threading.get_ident() else 1)
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == ENOUGH
