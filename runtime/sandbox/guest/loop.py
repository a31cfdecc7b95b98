"""The program of the guest: asks the host for a request, does it, hands over the answer with the next question."""

import ast
import gc
import linecache
import os

from sandbox.api import host_function
from sandbox.cell import run
from sandbox.door import door
from sandbox.event_loop import install_event_loop
from sandbox.figures import expect_figures
from sandbox.names import locals_of
from sandbox.output import CappedOutput
from sandbox.randomness import reseed, seed
from sandbox.state import session
from sandbox.trusted import compile_, dumps, exec_, loads
from sandbox.variables import get, put

PRELOADED = (
    "collections",
    "datetime",
    "functools",
    "itertools",
    "math",
    "re",
    "statistics",
    "string",
    "textwrap",
)


def begin(options):
    """First request of a session: its host functions, caps and seed."""
    cap = options["output"]
    session.stdout, session.stderr = CappedOutput(cap), CappedOutput(cap)
    for name in options["host_functions"]:
        session.host_functions.add(name)
        session.names[name] = host_function(name)
        session.hidden.add(name)
    if options["seed"] is not None:
        seed(options["seed"])


def warm(_):
    """Fresh randomness for this process, and the pages of a first cell touched before a client waits for them."""
    reseed()
    begin({"output": session.stdout.cap, "host_functions": [], "seed": None})
    run({"code": "_ = 1\ndel _\n1", "cell": 0, "locals": "summary", "prelude": False})
    linecache.cache.pop("<cell 0>", None)
    return touch({})


def reseed_branch(_):
    """In a branch: other random numbers than those of the session that it was forked from."""
    reseed()
    return {"status": "ok"}


def touch(_):
    """After a fork, while nobody waits: write to the pages that any cell writes to. Nothing of the session is used."""
    try:
        touch_pages()
    except BaseException:
        return {"status": "error"}  # a cell patched what this uses; the next cell tells it so, not the end of the loop
    return {"status": "ok"}


def touch_pages():
    tree = ast.parse("x = 1", "<touch>")
    exec_(compile_(tree, "<touch>", "exec", dont_inherit=True), {})
    dumps({"status": "ok", "locals": locals_of("none")})


OPERATIONS = {"run": run, "put": put, "get": get, "warm": warm, "touch": touch, "reseed": reseed_branch}


def serve(preloaded):
    """Never returns: the host ends the process. `preloaded` are the image's own modules to import once for all."""
    install_event_loop()
    expect_figures()
    os.chdir("/tmp")
    for module in (*PRELOADED, *preloaded):
        __import__(module)
    os.environ.clear()  # after the imports: matplotlib asks it for its folder
    warm({})
    gc.collect()
    gc.freeze()
    answer = b"{}"
    while True:
        request = loads(door(b"N", answer))
        if "begin" in request:
            begin(request["begin"])
        answer = dumps(OPERATIONS[request["op"]](request)).encode()
