"""asyncio without descriptors: a loop that sleeps where another would wait for sockets."""

import asyncio
import selectors
import time


class SleepSelector(selectors.SelectSelector):
    """There are no descriptors to wait for in here, so that waiting is sleeping."""

    def select(self, timeout=None):
        if timeout is None or timeout > 0:
            time.sleep(3600 if timeout is None else timeout)
        return []


def install_event_loop():
    """asyncio wakes its loop through a socket pair, which WASI has not; with one thread nobody needs to wake it."""
    selectors.DefaultSelector = SleepSelector
    loop = asyncio.SelectorEventLoop
    loop._make_self_pipe = loop._close_self_pipe = loop._write_to_self = lambda _: None
