"""What the server keeps of a session's replies, so that they can be said again: each text once, as UTF-8.

A branch of a suspended session is told the call in which it waits, and a repeated `request_id` gets its reply again.
Both can hold 16 MiB of a host call's payload and are kept until the session ends or goes on, so they share it, and
neither keeps it as a `str`, which takes four bytes for each character where one of them is beyond the BMP. Held by
`session`; `registry` counts it as the session's memory.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from pydantic_core import to_json

from runtime.wire import CellReply, HostCall


@dataclass(frozen=True)
class KeptCall:
    """The host call in which a session waits."""

    id: str
    name: str
    payload: bytes

    @classmethod
    def of(cls, call: HostCall) -> KeptCall:
        return cls(call.id, call.name, call.payload.encode())

    def with_new_id(self) -> KeptCall:
        """The same call of another session; the payload is shared."""
        return replace(self, id=secrets.token_hex(16))

    def restore(self) -> HostCall:
        return HostCall(id=self.id, name=self.name, payload=self.payload.decode())


@dataclass(frozen=True)
class KeptReply:
    """The reply to the last request that had an id."""

    request_id: str
    text: bytes  # JSON, without the host call
    call: KeptCall | None

    @classmethod
    def of(cls, request_id: str, reply: CellReply, call: KeptCall | None) -> KeptReply:
        """`call`: the one in which the session waits, if it does, whose payload is then not kept again."""
        if reply.call is None:
            return cls(request_id, to_json(reply), None)
        shared = call if call is not None and call.id == reply.call.id else KeptCall.of(reply.call)
        return cls(request_id, to_json(_with_call(reply, None)), shared)

    def restore(self) -> CellReply:
        reply = CellReply.model_validate_json(self.text)
        return reply if self.call is None else _with_call(reply, self.call.restore())


def size_of(call: KeptCall | None, reply: KeptReply | None) -> int:
    """Bytes that the two take together."""
    held = 0 if call is None else len(call.payload)
    if reply is not None:
        held += len(reply.text)
        if reply.call is not None and reply.call.payload is not (None if call is None else call.payload):
            held += len(reply.call.payload)
    return held


def _with_call(reply: CellReply, call: HostCall | None) -> CellReply:
    """Of several cells the last has the call, and the reply repeats it."""
    results = reply.results
    if results:
        results = [*results[:-1], results[-1].model_copy(update={"call": call})]
    return reply.model_copy(update={"call": call, "results": results})
