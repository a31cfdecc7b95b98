"""A run's session in the sandbox: begun from its origin, its cells run, its variables read, ended with the run.

Made by `runner.py` for one run. It is never silently replaced by an empty one: when a server loses it, `replay.py`
begins it again and runs its journal. This is the same session then, under another id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from runtime.inference.errors import SandboxRefusedError, SandboxUnavailableError
from runtime.inference.journal import Journal
from runtime.inference.opening import Origin, end_session, execute
from runtime.inference.sandbox_client import SandboxClient
from runtime.inference.sandbox_watch import SandboxWatch
from runtime.wire import CellReply, ErrorCode, HostCall, ResumeRequest

FINAL_EVENT: Final = "rlm.final"
PARTIAL_EVENT: Final = "rlm.answer"
REOPEN: Final = "__rlm_reopen__()"
"""The cell that takes a final answer back. Code may have broken what does it; then its next answer is the same one."""
_FINAL_VARIABLE: Final = "__rlm_final__"


@dataclass(frozen=True)
class Sandbox:
    """The pool as a process sees it."""

    client: SandboxClient
    watch: SandboxWatch


@asynccontextmanager
async def open_from(sandbox: Sandbox, origin: Origin) -> AsyncIterator[ReplSession]:
    """A session that has a question's context and history; deleted at the end, also when the run is cancelled.

    Raises SandboxUnavailableError when there is none to be had, ContextTooLargeError when the context does not fit.
    """
    session = ReplSession(sandbox, origin)
    try:
        await session.begin()
        yield session
    finally:
        await asyncio.shield(asyncio.create_task(session.end()))


@dataclass
class ReplSession:
    """`loss` is set while no server has it: why. `branching` keeps those apart who copy it at the same time, since a
    session takes one request at a time."""

    sandbox: Sandbox
    origin: Origin
    id: str = ""
    journal: Journal = field(default_factory=Journal)
    loss: SandboxUnavailableError | None = None
    branching: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)

    async def begin(self) -> None:
        """Make it, on any server, without the cells of its journal. What may be left of an earlier one ends."""
        if self.id:
            ending = asyncio.create_task(end_session(self.sandbox.client, self.id))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self.id = secrets.token_hex(16)
        self.journal.restart(await self.origin.begin(self.sandbox.client, self.id))

    async def end(self) -> None:
        await asyncio.gather(end_session(self.sandbox.client, self.id), *self._ending)

    async def execute(self, code: str) -> CellReply:
        """Run a cell until it ends or suspends. Raises SandboxUnavailableError when the session is gone."""
        return await execute(self.sandbox.client, self.id, code)

    async def resume(self, call: HostCall, *, result: str | None = None, error: str | None = None) -> CellReply:
        """Answer the call that suspended the cell."""
        answer = ResumeRequest(call_id=call.id, result=result, error=error)
        return await self.sandbox.client.resume(self.id, answer)

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """While inside, the suspended session is kept alive."""
        return self.sandbox.watch.suspended(self.id)

    async def final_answer(self, reply: CellReply) -> str | None:
        """The final answer, if this cell gave one: a variable's text, so that no cap of a reply cuts it."""
        if not any(event.name == FINAL_EVENT for event in reply.events):
            return None
        try:
            return await self.sandbox.client.get_text(self.id, _FINAL_VARIABLE)
        except SandboxRefusedError as error:
            if error.refusal in {ErrorCode.VARIABLE_NOT_FOUND, ErrorCode.NOT_SERIALISABLE}:
                return None  # the code said the event by itself
            raise


def name_variable(name: str) -> str:
    """The cell that ends the run with a variable's value, for `FINAL_VAR(name)` in a model's text."""
    return f"FINAL_VAR({json.dumps(name)})"
