"""Sets and reads a session's variables: what the guest says of them, checked. Called by `service`, one at a time.

Bytes travel beside the guest's JSON: in as a memory file, out behind the answer.
"""

from __future__ import annotations

from runtime.sandbox.envelope import ForgedEnvelopeError, parse_get, parse_put
from runtime.sandbox.errors import RequestError
from runtime.sandbox.session import Session
from runtime.sandbox.variables import IncomingVariable, OutgoingVariable
from runtime.wire import ErrorCode, VariableReply


async def put_variable(session: Session, name: str, variable: IncomingVariable) -> VariableReply:
    """Set a global. 422 when the body is not the JSON it says it is."""
    request = {"op": "put", "name": name, **variable.description()}
    failure = "variable could not be set: it does not fit into the session's memory"
    answer = await session.exchange(request, failure, cover=True, descriptors=variable.descriptors())
    try:
        done = parse_put(answer.body)
    except ForgedEnvelopeError:
        raise RequestError(ErrorCode.INVALID_VALUE, f"variable {name} could not be set") from None
    if done.status != "ok":
        raise RequestError(ErrorCode.INVALID_VALUE, f"variable {name}: {done.message}")
    return VariableReply(session_id=session.id, name=name, type=done.type, length=done.length)


async def get_variable(session: Session, name: str, limit: int) -> OutgoingVariable:
    """The bytes of a global. 404 when it is not there, 413 beyond `limit` bytes, 422 when it has no JSON form."""
    request: dict[str, object] = {"op": "get", "name": name, "limit": limit}
    answer = await session.exchange(request, "variable could not be read", cover=False)
    length = int(answer.head.get("answer", len(answer.body)))
    try:
        found = parse_get(answer.body[:length])
    except ForgedEnvelopeError:
        raise RequestError(ErrorCode.NOT_SERIALISABLE, f"variable {name} could not be read") from None
    if found.status == "missing":
        raise RequestError(ErrorCode.VARIABLE_NOT_FOUND, f"session {session.id} has no variable {name}")
    if found.status == "large":
        raise RequestError(ErrorCode.TOO_LARGE, f"variable {name}: {found.message}; read it in slices")
    if found.status == "invalid":
        raise RequestError(ErrorCode.NOT_SERIALISABLE, f"variable {name} has no JSON form: {found.message}")
    return OutgoingVariable(found.kind, memoryview(answer.body)[length:])
