"""What a cell may ask of its host."""

from sandbox.door import door
from sandbox.randomness import reseed
from sandbox.state import session
from sandbox.trusted import dumps, isinstance_, len_, loads, str_, text

CALL_BYTES = 16 << 20
EVENTS = 10_000
EVENT_BYTES = 8 << 20  # as JSON, in which the reply carries them
EVENT_NAME_CHARS = 64


class Stop(BaseException):
    """Raised by `stop()`: the cell ends as ok."""


def call(name, payload):
    """Suspend the cell until the host answers `payload` (str); the answer is a str. RuntimeError if it refuses."""
    if not isinstance_(name, str_) or not isinstance_(payload, str_):
        raise TypeError("call(name: str, payload: str)")
    if name not in session.host_functions:
        raise RuntimeError(f"{name} is no host function of this session")
    payload = text(payload)
    if len_(payload.encode()) > CALL_BYTES:
        raise ValueError(f"a host call takes at most {CALL_BYTES} bytes; call it with parts")
    message = {"name": text(name), "payload": payload, **session.take_output()}
    reply = loads(door(b"C", dumps(message).encode()))
    if "reseed" in reply:
        reseed()
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply["result"]


def emit(name, payload):
    """Put an event into the reply, apart from stdout. ValueError beyond the cap of a reply."""
    if not isinstance_(name, str_) or not isinstance_(payload, str_):
        raise TypeError("emit(name: str, payload: str)")
    name, payload = text(name), text(payload)
    if len_(name) > EVENT_NAME_CHARS:
        raise ValueError(f"an event's name has at most {EVENT_NAME_CHARS} characters")
    if len_(session.events) >= EVENTS:
        raise ValueError(f"a reply holds at most {EVENTS} events; put more into one payload")
    session.event_bytes += len_(dumps(payload, ensure_ascii=False).encode()) - len_('""')
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
        return call(name, dumps({"args": args, "kwargs": kwargs}, ensure_ascii=False))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Host function {name}: suspends the cell until it is answered."
    return function
