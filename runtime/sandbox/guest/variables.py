"""Variables in and out, as bytes that the host copies from and to their place in memory."""

from sandbox.door import door
from sandbox.state import session
from sandbox.trusted import dumps, getsizeof, id_, len_, loads, pack, str_, text, type_


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def put(request):
    """Set a variable from text in the request, or from bytes that the host copies into a new str's own buffer."""
    try:
        value = receive(request)
        if request["json"]:
            value = loads(value, parse_constant=no_constant)
    except MemoryError:
        return {"status": "error", "message": "it does not fit into the session's memory"}
    except (ValueError, RecursionError) as problem:
        return {"status": "invalid", "message": text(str_(problem))}
    session.names[request["name"]] = value
    return {"status": "ok", "type": type_(value).__name__, "length": len_(value) if hasattr(value, "__len__") else None}


def receive(request):
    if "text" in request:
        return request["text"]
    length, fill, width = request["length"], request["fill"], request["width"]
    value = fill * length
    header = getsizeof(value) - (length + 1) * width  # of the new str: a shared one may carry its UTF-8 form
    if not door(b"P", pack("<QQ", id_(value) + header, length * width)):
        raise ValueError("the bytes did not arrive")
    return value


def get(request):
    """Hand a variable's bytes over: a str as UTF-8, any other value as JSON."""
    name = request["name"]
    if name not in session.names:
        return {"status": "missing"}
    value = session.names[name]
    kind = "text" if type_(value) is str_ else "json"
    try:
        data = value if kind == "text" else dumps(value, allow_nan=False)
        if not data.isascii():
            data = data.encode("utf-8", "backslashreplace")
    except MemoryError:
        return {"status": "large", "message": "the session's memory has no room for its encoded form"}
    except (TypeError, ValueError, RecursionError) as problem:
        return {"status": "invalid", "message": text(str_(problem))}
    empty = getsizeof(b"") - 1 if type_(data) is bytes else getsizeof("a") - 2
    limit = request["limit"]
    if len_(data) > limit or not door(b"G", pack("<QQ", id_(data) + empty, len_(data))):
        return {"status": "large", "message": f"it has {len_(data)} bytes, at most {limit} go out at once"}
    return {"status": "ok", "kind": kind}
