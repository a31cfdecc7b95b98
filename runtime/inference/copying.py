"""The session of a child that begins with a copy of the asking one: a branch of it, or, where the asking session is
lost or its pool's image cannot fork, that session made once more up to the call and then handed over.

Called by `children.py`. A copy is exact or it is refused: cells that do not say the same again, or ask for what was not
answered before, raise CopyLostError, and the slot gets an error string.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Never

from runtime.inference.calls import HOST_FUNCTIONS, parse_call, render_answers
from runtime.inference.errors import CopyLostError, SandboxRefusedError, SandboxUnavailableError
from runtime.inference.journal import Attempt, CellRecord
from runtime.inference.opening import Origin, execute
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.session import ReplSession
from runtime.wire import CellReply, ErrorCode, ForkRequest, HostCall, ResumeRequest, Status


@dataclass(frozen=True)
class Copy:
    """A copy of `parent`, which waits in a call; `slot` is the prompt of the call that the child is to answer."""

    parent: ReplSession
    origin: Origin
    cells: tuple[CellRecord, ...]
    waiting: CellRecord  # up to the call
    slot: int

    async def begin(self, client: SandboxClient, session_id: str) -> int:
        try:
            call = await self._branch(client, session_id)
        except CopyLostError:
            raise
        except SandboxUnavailableError as error:
            if isinstance(error, SandboxRefusedError) and error.refusal is not ErrorCode.CAPABILITY_MISSING:
                raise
            call = await self._repeat(client, session_id)
        answer = ResumeRequest(call_id=call.id, result=json.dumps({"child": self.slot}))
        begun = await client.resume(session_id, answer)
        if begun.status is not Status.OK:
            raise CopyLostError(f"the cell of the copied session went on instead of ending ({begun.status})")
        return begun.cell

    async def _branch(self, client: SandboxClient, session_id: str) -> HostCall:
        async with self.parent.branching:
            reply = await client.fork(self.parent.id, ForkRequest(session_id=session_id))
        if reply.call is None:
            raise CopyLostError("the copied session waits in no call, so it cannot become a child's")
        return reply.call

    async def _repeat(self, client: SandboxClient, session_id: str) -> HostCall:
        await client.delete(session_id)
        await self.origin.begin(client, session_id)
        for record in self.cells:
            await _repeat_cell(client, session_id, record)
        last = await _repeat_cell(client, session_id, self.waiting)
        if last.call is None:
            raise CopyLostError("the repeated session waits in no call, so it cannot become a child's")
        return last.call


def copy_of(parent: ReplSession, slot: int) -> Copy:
    """For the child run in this slot of the call in which the parent waits: all variables of the parent, and the prompt
    as `context`."""
    running = parent.journal.running
    if running is None:
        raise CopyLostError("the session to be copied runs no cell")
    waiting = CellRecord(running.record.code, running.record.answers, list(running.replies))
    return Copy(parent, parent.origin, tuple(parent.journal.cells), waiting, slot)


async def _repeat_cell(client: SandboxClient, session_id: str, record: CellRecord) -> CellReply:
    """Up to its end, or to the last reply of a record that has none."""
    attempt = Attempt(record, _refuse)
    reply = await execute(client, session_id, record.code)
    attempt.note(reply)
    while reply.call is not None and len(attempt.replies) < len(record.replies):
        reply = await client.resume(session_id, _answer(attempt, reply.call))
        attempt.note(reply)
    return reply


def _answer(attempt: Attempt, call: HostCall) -> ResumeRequest:
    if call.name not in HOST_FUNCTIONS:
        return ResumeRequest(call_id=call.id, result=_answer_of_tool(attempt, call))
    request = parse_call(call)
    if isinstance(request, str):
        return ResumeRequest(call_id=call.id, error=request)
    answers = [answer for _, answer in attempt.take(call.name, request.model, request.prompts) if answer is not None]
    if len(answers) < len(request.prompts):
        _refuse()
    return ResumeRequest(call_id=call.id, result=render_answers(answers))


def _answer_of_tool(attempt: Attempt, call: HostCall) -> str:
    ((_, answer),) = attempt.take(call.name, None, [call.payload])
    return _refuse() if answer is None else answer


def _refuse() -> Never:
    raise CopyLostError("the session to be copied was lost, and its code did not do the same again")
