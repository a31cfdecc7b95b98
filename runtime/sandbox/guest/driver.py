"""The loop inside the guest: asks the host for a request, does it, hands over the answer with the next question.

Runs in WASM, in one interpreter per session, and is never imported by the host. It is convenience, not a boundary:
code in a cell can reach and change all of it, so the host checks, caps and times whatever comes out.

The door is a file: `os.write(DOOR, kind + message)` returns the length of the reply, `os.read` fetches it. Kinds:
N answer the last request and wait for the next one; C call a host function (suspends); P copy bytes from the host to an
address; G copy bytes from an address to the host.
"""

import ast
import asyncio
import builtins
import gc
import json
import linecache
import math
import os
import random
import reprlib
import selectors
import struct
import sys
import time
import traceback
import types

DOOR = os.open("/host/door", os.O_RDWR)
RESULT_CHARS = 20_000
REPR_CHARS = 300
LOCALS_NAMES = 1_000
LOCALS_BYTES = 256 << 10
NAME_CHARS = 200
SORTED_FOR_REPR = 10_000
VALUE_NODES = 100_000
VALUE_DEPTH = 100
CALL_BYTES = 16 << 20
EVENT_BYTES = 8 << 20
EVENT_NAME_CHARS = 64
TRACEBACK_FRAMES = 20
SMALLEST_POKE = 64

# Bound here, so that a cell that patches the modules does not end the loop.
_dumps, _loads, _exec, _eval, _compile = json.dumps, json.loads, exec, eval, compile
_print_exception, _write, _read, _type, _str = traceback.print_exception, os.write, os.read, type, str
_getsizeof, _isinstance, _issubclass, _len, _id, _pack = sys.getsizeof, isinstance, issubclass, len, id, struct.pack
# Unbound, so that a subclass or metaclass of a cell has no say.
_encode, _class_name = str.encode, type.__dict__["__name__"].__get__


def door(kind, message):
    length = _write(DOOR, kind + message)
    return _read(DOOR, length) if length else b""


def text(value):
    """An exact str that has a UTF-8 form: lone surrogates become escapes."""
    return _encode(value, "utf-8", "backslashreplace").decode()


def type_name(value):
    return text(_class_name(_type(value)))[:NAME_CHARS]


class CappedOutput:
    """sys.stdout and sys.stderr of a cell: keeps the first `cap` bytes of UTF-8, counts the rest as truncated."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    closed = False

    def __init__(self, cap):
        self.cap = cap
        self.parts = []
        self.length = 0
        self.truncated = False

    def write(self, chunk):
        if not _isinstance(chunk, _str):
            raise TypeError("write() argument must be str, not " + _type(chunk).__name__)
        chunk = "".join((chunk,))
        room = max(self.cap - self.length, 0)
        start = chunk[:room]
        encoded = start if start.isascii() else _encode(start, "utf-8", "backslashreplace")
        part = encoded[:room]
        self.length += _len(part)
        self.parts.append(part if _isinstance(part, _str) else part.decode("utf-8", "ignore"))
        if _len(self.parts) > 4096:
            self.parts = ["".join(self.parts)]
        if _len(start) < _len(chunk) or _len(part) < _len(encoded):
            self.truncated = True
            self.length = self.cap
        return _len(chunk)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def close(self):
        pass

    def isatty(self):
        return False

    def readable(self):
        return False

    def writable(self):
        return True

    def seekable(self):
        return False

    def fileno(self):
        raise OSError("the output of a cell has no descriptor")

    def take(self):
        value = "".join(self.parts)
        self.parts = []
        return value


class Stop(BaseException):
    """Raised by `sandbox.stop()`: the cell ends as ok."""


class Session:
    """What lasts from cell to cell."""

    def __init__(self):
        self.main = types.ModuleType("__main__")
        self.main.__builtins__ = builtins
        sys.modules["__main__"] = self.main
        self.names = self.main.__dict__
        self.names.pop("__loader__", None)
        self.hidden = set(self.names)
        self.host_functions = set()
        self.after_cell = []
        self.stdout = CappedOutput(1 << 20)
        self.stderr = CappedOutput(1 << 20)
        self.events = []
        self.event_bytes = 0


session = Session()
summary = reprlib.Repr()
summary.maxstring = summary.maxother = 200
summary.maxlong = 80


def call(name, payload):
    """Suspend the cell until the host answers `payload` (str); the answer is a str. RuntimeError if it refuses."""
    if not _isinstance(name, _str) or not _isinstance(payload, _str):
        raise TypeError("call(name: str, payload: str)")
    if name not in session.host_functions:
        raise RuntimeError(f"{name} is no host function of this session")
    payload = text(payload)
    if _len(payload.encode()) > CALL_BYTES:
        raise ValueError(f"a host call takes at most {CALL_BYTES} bytes; call it with parts")
    message = {"name": text(name), "payload": payload, **take_output()}
    reply = _loads(door(b"C", _dumps(message).encode()))
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply["result"]


def emit(name, payload):
    """Put an event into the reply, apart from stdout. ValueError beyond the cap of a reply."""
    if not _isinstance(name, _str) or not _isinstance(payload, _str):
        raise TypeError("emit(name: str, payload: str)")
    name, payload = text(name), text(payload)
    if _len(name) > EVENT_NAME_CHARS:
        raise ValueError(f"an event's name has at most {EVENT_NAME_CHARS} characters")
    session.event_bytes += _len(payload.encode())
    if session.event_bytes > EVENT_BYTES:
        raise ValueError(f"the events of one reply hold at most {EVENT_BYTES} bytes; use a variable for more")
    session.events.append({"name": name, "payload": payload})


def stop():
    """End the cell here, as ok."""
    raise Stop


def after_cell(function):
    """Run `function()` at the end of every cell, inside the cell's limits, also when the cell raised."""
    session.after_cell.append(function)
    return function


def host_function(name):
    """A plain function that suspends with its arguments as JSON and returns the answer's text."""

    def function(*args, **kwargs):
        return call(name, _dumps({"args": args, "kwargs": kwargs}, ensure_ascii=False))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Host function {name}: suspends the cell until it is answered."
    return function


def install_sandbox_module():
    module = types.ModuleType("sandbox", "What a cell may ask of its host.")
    module.call, module.emit, module.stop, module.after_cell = call, emit, stop, after_cell
    sys.modules["sandbox"] = module


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


def take_output():
    out, err = session.stdout, session.stderr
    taken = {
        "stdout": out.take(),
        "stderr": err.take(),
        "stdout_truncated": out.truncated,
        "stderr_truncated": err.truncated,
        "events": session.events,
    }
    session.events = []
    session.event_bytes = 0
    return taken


def begin(options):
    """First request of a session: its host functions, caps and seed."""
    cap = options["output"]
    session.stdout, session.stderr = CappedOutput(cap), CappedOutput(cap)
    for name in options["host_functions"]:
        session.host_functions.add(name)
        session.names[name] = host_function(name)
        session.hidden.add(name)
    if options["seed"] is not None:
        random.seed(options["seed"])


def run(request):
    """One cell. A trailing expression's repr is `result`; what was assigned before an exception stays."""
    filename = f"<cell {request['cell']}>"
    old_out, old_err = sys.stdout, sys.stderr
    out, err = session.stdout, session.stderr
    out.truncated = err.truncated = False
    out.length = err.length = 0
    sys.stdout, sys.stderr = out, err
    error = result = None
    try:
        error, result = run_code(request["code"], filename)
        for function in list(session.after_cell):
            hook_error, _ = guarded(function, filename)
            error = error or hook_error
        if request["prelude"]:
            session.hidden.update(session.names)
        found = locals_of(request["locals"])
    except BaseException as problem:
        # Only hostile objects get here (a __repr__ that raises what is no Exception, a patched module).
        error = error or {"type": "SystemError", "message": "the reply could not be made: " + type_name(problem)}
        found = {}
    finally:
        sys.stdout, sys.stderr = old_out, old_err
    return {
        "status": "error" if error else "ok",
        "result": result,
        "error": error,
        "locals": found,
        **take_output(),
    }


def run_code(source, filename):
    linecache.cache[filename] = (_len(source), None, source.splitlines(True), filename)

    def execute():
        tree = ast.parse(source, filename)
        last = tree.body.pop() if tree.body and _isinstance(tree.body[-1], ast.Expr) else None
        _exec(_compile(tree, filename, "exec", dont_inherit=True), session.names)
        if last is None:
            return None
        expression = ast.Expression(last.value)
        return result_of(_eval(_compile(expression, filename, "eval", dont_inherit=True), session.names))

    return guarded(execute, filename)


def guarded(function, filename):
    """(error or None, value or None) of a call of guest code; the traceback goes to the cell's stderr."""
    try:
        return None, function()
    except Stop:
        return None, None
    except BaseException as problem:
        return describe(problem, filename), None


def describe(problem, filename):
    line = None
    if _issubclass(_type(problem), SyntaxError) and problem.filename == filename and _type(problem.lineno) is int:
        line = problem.lineno
    frames = problem.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == filename:
            line = frames.tb_lineno
        frames = frames.tb_next
    kind = type_name(problem)
    try:
        tb = problem.__traceback__
        while tb is not None and tb.tb_frame.f_globals is globals():
            tb = tb.tb_next
        _print_exception(_type(problem), problem, tb, limit=-TRACEBACK_FRAMES, file=session.stderr)
        message = text(_str(problem))[:2000]
    except BaseException:
        session.stderr.write(kind + ": the exception's own text could not be had\n")
        message = ""
    return {"type": kind, "message": message, "line": line}


def result_of(value):
    if value is None:
        return None
    shown = repr(value)
    if _type(shown) is not _str:
        shown = "".join((shown,))
    cut = _len(shown) - RESULT_CHARS
    return text(shown if cut <= 0 else shown[:RESULT_CHARS] + f"… ({cut} more characters)")


def locals_of(mode):
    """{name: {type, repr, value?}} of the session's own names; hostile objects are named by type only."""
    found = {}
    if mode == "none":
        return found
    room = LOCALS_BYTES
    for name, value in list(session.names.items()):
        if _type(name) is not _str or name[:1] == "_" or name in session.hidden or _len(name) > NAME_CHARS:
            continue
        if _issubclass(_type(value), types.ModuleType):
            continue
        entry = {"type": type_name(value), "repr": short_repr(value)}
        room -= _len(name) + _len(entry["type"]) + _len(entry["repr"]) + 32
        if room < 0 or _len(found) >= LOCALS_NAMES:
            break
        if mode == "values" and is_plain(value):
            encoded = _dumps(value)
            if _len(encoded) <= room:
                room -= _len(encoded)
                entry["value"] = value
        found[text(name)] = entry
    return found


def short_repr(value):
    kind = _type(value)
    try:
        if kind is _str:
            shown = repr(value[:200]) + (f"… ({_len(value)} characters)" if _len(value) > 200 else "")
        elif kind is int and value.bit_length() > 2000:
            shown = f"<int of {value.bit_length()} bits>"
        elif kind in (dict, set, frozenset) and _len(value) > SORTED_FOR_REPR:
            shown = f"<{kind.__name__} of {_len(value)}>"  # reprlib would sort it
        else:
            shown = summary.repr(value)
        return text(shown)[:REPR_CHARS]
    except BaseException:
        return "<repr failed>"


def is_plain(value):
    """Whether `value` is JSON exactly: plain types, str keys, finite numbers, not too deep, not too many nodes."""
    level, nodes = [value], 0
    for _ in range(VALUE_DEPTH):
        nodes += _len(level)
        if nodes > VALUE_NODES:
            return False
        below = []
        for item in level:
            kind = _type(item)
            if kind is list or kind is dict:
                if _len(item) + _len(below) > VALUE_NODES:
                    return False
                below.extend(item)
                if kind is dict:
                    if not all(_type(key) is _str for key in item):
                        return False
                    below.extend(item.values())
            elif not is_plain_scalar(item, kind):
                return False
        if not below:
            return True
        level = below
    return False


def is_plain_scalar(item, kind):
    if kind is _str:
        return _len(item) <= LOCALS_BYTES and (item.isascii() or text(item) == item)
    if kind is int:
        return item.bit_length() <= 2000
    if kind is float:
        return math.isfinite(item)
    return item is None or kind is bool


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def put(request):
    """Set a variable from text in the request, or from bytes that the host copies into a new str's own buffer."""
    try:
        value = receive(request)
        if request["json"]:
            value = _loads(value, parse_constant=no_constant)
    except MemoryError:
        return {"status": "error", "message": "it does not fit into the session's memory"}
    except (ValueError, RecursionError) as problem:
        return {"status": "invalid", "message": text(_str(problem))}
    session.names[request["name"]] = value
    return {"status": "ok", "type": _type(value).__name__, "length": _len(value) if hasattr(value, "__len__") else None}


def receive(request):
    if "text" in request:
        return request["text"]
    length, fill, width = request["length"], request["fill"], request["width"]
    value = fill * length
    header = _getsizeof(value) - (length + 1) * width  # of the new str: a shared one may carry its UTF-8 form
    if not door(b"P", _pack("<QQ", _id(value) + header, length * width)):
        raise ValueError("the bytes did not arrive")
    return value


def get(request):
    """Hand a variable's bytes over: a str as UTF-8, any other value as JSON."""
    name = request["name"]
    if name not in session.names:
        return {"status": "missing"}
    value = session.names[name]
    kind = "text" if _type(value) is _str else "json"
    try:
        data = value if kind == "text" else _dumps(value, allow_nan=False)
        if not data.isascii():
            data = data.encode("utf-8", "backslashreplace")
    except MemoryError:
        return {"status": "large", "message": "the session's memory has no room for its encoded form"}
    except (TypeError, ValueError, RecursionError) as problem:
        return {"status": "invalid", "message": text(_str(problem))}
    empty = _getsizeof(b"") - 1 if _type(data) is bytes else _getsizeof("a") - 2
    limit = request["limit"]
    if _len(data) > limit or not door(b"G", _pack("<QQ", _id(data) + empty, _len(data))):
        return {"status": "large", "message": f"it has {_len(data)} bytes, at most {limit} go out at once"}
    return {"status": "ok", "kind": kind}


def warm(_):
    """Fresh randomness for this process, and the pages of a first cell touched before a client waits for them."""
    random.seed(int.from_bytes(os.urandom(32), "little"))
    touch({})
    return {"status": "ok"}


def touch(_):
    run({"code": "def _f():\n    raise ValueError\n_f()", "cell": 0, "locals": "summary", "prelude": False})
    run({"code": "1", "cell": 0, "locals": "summary", "prelude": False})
    session.names.pop("_f", None)
    linecache.cache.pop("<cell 0>", None)
    return {"status": "ok"}


OPERATIONS = {"run": run, "put": put, "get": get, "warm": warm, "touch": touch}


def serve():
    """Never returns: the host ends the process."""
    install_sandbox_module()
    install_event_loop()
    os.chdir("/tmp")
    os.environ.clear()
    for module in (
        "collections",
        "datetime",
        "functools",
        "itertools",
        "math",
        "re",
        "statistics",
        "string",
        "textwrap",
    ):
        __import__(module)
    touch({})
    gc.collect()
    gc.freeze()
    answer = b"{}"
    while True:
        request = _loads(door(b"N", answer))
        if "begin" in request:
            begin(request["begin"])
        answer = _dumps(OPERATIONS[request["op"]](request)).encode()


serve()
