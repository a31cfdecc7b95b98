"""The session's own names as a reply shows them: type, short repr, and the value where it is plain JSON."""

import math
import reprlib
import types

from sandbox.state import session
from sandbox.trusted import NAME_CHARS, dumps, issubclass_, len_, str_, text, type_, type_name

REPR_CHARS = 300
LOCALS_NAMES = 1_000
LOCALS_BYTES = 256 << 10
SORTED_FOR_REPR = 10_000
VALUE_NODES = 100_000
VALUE_DEPTH = 100

summary = reprlib.Repr()
summary.maxstring = summary.maxother = 200
summary.maxlong = 80


def locals_of(mode):
    """{name: {type, repr, value?}} of the session's own names; hostile objects are named by type only."""
    found = {}
    if mode == "none":
        return found
    room = LOCALS_BYTES
    for name, value in list(session.names.items()):
        if type_(name) is not str_ or name[:1] == "_" or name in session.hidden or len_(name) > NAME_CHARS:
            continue
        if issubclass_(type_(value), types.ModuleType):
            continue
        entry = {"type": type_name(value), "repr": short_repr(value)}
        room -= len_(name) + len_(entry["type"]) + len_(entry["repr"]) + 32
        if room < 0 or len_(found) >= LOCALS_NAMES:
            break
        if mode == "values" and is_plain(value):
            encoded = dumps(value)
            if len_(encoded) <= room:
                room -= len_(encoded)
                entry["value"] = value
        found[text(name)] = entry
    return found


def short_repr(value):
    kind = type_(value)
    try:
        if kind is str_:
            shown = repr(value[:200]) + (f"… ({len_(value)} characters)" if len_(value) > 200 else "")
        elif kind is int and value.bit_length() > 2000:
            shown = f"<int of {value.bit_length()} bits>"
        elif kind in (dict, set, frozenset) and len_(value) > SORTED_FOR_REPR:
            shown = f"<{kind.__name__} of {len_(value)}>"  # reprlib would sort it
        else:
            shown = summary.repr(value)
        return text(shown)[:REPR_CHARS]
    except BaseException:
        return "<repr failed>"


def is_plain(value):
    """Whether `value` is JSON exactly: plain types, str keys, finite numbers, not too deep, not too many nodes."""
    level, nodes = [value], 0
    for _ in range(VALUE_DEPTH):
        nodes += len_(level)
        if nodes > VALUE_NODES:
            return False
        below = []
        for item in level:
            kind = type_(item)
            if kind is list or kind is dict:
                if len_(item) + len_(below) > VALUE_NODES:
                    return False
                below.extend(item)
                if kind is dict:
                    if not all(type_(key) is str_ for key in item):
                        return False
                    below.extend(item.values())
            elif not is_plain_scalar(item, kind):
                return False
        if not below:
            return True
        level = below
    return False


def is_plain_scalar(item, kind):
    if kind is str_:
        return len_(item) <= LOCALS_BYTES and (item.isascii() or text(item) == item)
    if kind is int:
        return item.bit_length() <= 2000
    if kind is float:
        return math.isfinite(item)
    return item is None or kind is bool
