"""Starts the guest's program in Pyodide. It never returns, so JavaScript's event loop never runs again; what Pyodide
has patched in order to use that loop is put back or replaced."""

import asyncio
import sys
import time
import warnings

sys.dont_write_bytecode = True
for name in [name for name in sys.modules if name.partition(".")[0] in ("js", "pyodide_js")]:
    del sys.modules[name]

sys.path.insert(0, "/host")
from sandbox.door import door
from sandbox.loop import serve
from sandbox.trusted import pack

sys.path.remove("/host")


def sleep(seconds):
    """time.sleep without a busy loop, which is all that Emscripten has."""
    seconds = float(seconds)
    if seconds != seconds or seconds < 0:
        raise ValueError("sleep length must be non-negative")
    door(b"S", pack("<d", seconds))


time.sleep = sleep
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    asyncio.set_event_loop_policy(None)
asyncio._set_running_loop(None)
asyncio.run = asyncio.runners.run
serve(())
