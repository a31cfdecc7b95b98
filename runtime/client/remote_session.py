"""One session in the sandbox, synchronous: what every client of this package is built on.

The session is made at the first use and ended by `close`. A cell that calls a host function waits in the sandbox while
the caller's own thread answers, so that an answer may use whatever that thread has (context variables, a settings
scope, a debugger). A session that is lost is an error at every later use, never an empty one in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

from runtime.client.continuity import Continuity
from runtime.client.loop_thread import LoopThread
from runtime.client.pool_address import PoolAddress
from runtime.inference.errors import SandboxUnavailableError, SessionLostError
from runtime.inference.sandbox_client import TIMEOUT_MARGIN, SandboxClient
from runtime.inference.sandbox_watch import RENEWAL_INTERVAL
from runtime.wire import CellReply, ExecuteRequest, HostCall, LocalsMode, ResumeRequest, SessionRequest, Status

_LEAST_TIME: Final = 0.1  # seconds of running time for the rest of a cell whose time is all but over


class HostCallError(Exception):
    """An answer that is a refusal: the call raises RuntimeError with this message inside the sandbox."""


Answer = Callable[[HostCall], str]


class RemoteSession:
    """Not for several threads at once. Raises the errors of `runtime.inference.errors` when the sandbox cannot be used
    or lost the session."""

    def __init__(
        self,
        address: PoolAddress,
        request: SessionRequest,
        *,
        timeout: float,
        patience: float = TIMEOUT_MARGIN,
        renewal: float = RENEWAL_INTERVAL,
    ) -> None:
        """`request` must have a session id. `timeout`: seconds of running time per cell; HTTP waits 5 s longer.
        `patience`: seconds to keep asking a busy pool. `renewal`: seconds between signs of life during an answer."""
        if request.session_id is None:
            raise ValueError("a remote session needs its id from the start, so that it can be ended")
        self.id = request.session_id
        self._address = address
        self._request = request
        self._timeout = timeout
        self._patience = patience
        self._renewal = renewal
        self._thread = LoopThread()
        self._client: SandboxClient | None = None
        self._is_made = False
        self._is_closed = False
        self._continuity = Continuity()

    def start(self) -> SandboxClient:
        """Make the session; nothing happens when it is there."""
        if self._is_closed:
            raise RuntimeError("this session is closed; make a new object for a new one")
        self._continuity.check()
        return self._thread.run(self._start())

    async def _start(self) -> SandboxClient:
        if self._client is None:
            self._client = self._address.connect(self._patience)
        if not self._is_made:
            await self._client.create_session(self._request)
            self._is_made = True
        return self._client

    def put(self, name: str, value: Any) -> None:
        """Set a variable to text or any JSON value. Raises ValueError when the value has no JSON form."""
        client = self.start()
        if isinstance(value, str):
            self._thread.run(client.put_text(self.id, name, value))
            return
        try:
            encoded = to_json(value)
        except PydanticSerializationError as error:
            raise ValueError(f"{name}: a {type(value).__name__} cannot go into the sandbox: {error}") from error
        self._thread.run(client.put_json(self.id, name, encoded))

    def get_text(self, name: str) -> str:
        """A variable: text as it is, any other value as JSON."""
        return self._thread.run(self.start().get_text(self.id, name))

    def run(self, code: str, answer: Answer | None = None, mode: LocalsMode = LocalsMode.NONE) -> CellReply:
        """Run a cell to its end; `answer` gives the result of each host call. The reply has the output and the events
        of the whole cell. Another exception of `answer` than HostCallError, or an interrupt of the caller (Ctrl-C),
        ends the cell, rolled back, and is raised.
        """
        client = self.start()
        request = ExecuteRequest(code=code, session_id=self.id, create=False, timeout=self._timeout, locals=mode)
        try:
            parts = [self._thread.run(client.execute(request))]
            while (call := self._continuity.note(parts[-1]).call) is not None:
                parts.append(self._resume(client, call, self._time_left(parts[-1]), answer))
        except SandboxUnavailableError:
            raise
        except BaseException:
            with contextlib.suppress(SandboxUnavailableError):  # there may be no cell any more
                self._thread.run(client.interrupt(self.id))
            raise
        return _join(parts)

    def _resume(self, client: SandboxClient, call: HostCall, time_left: float, answer: Answer | None) -> CellReply:
        result, error = None, None
        try:
            with self._kept_alive(client):
                result = _refuse(call) if answer is None else answer(call)
        except HostCallError as refusal:
            error = str(refusal)
        request = ResumeRequest(call_id=call.id, result=result, error=error, timeout=time_left)
        return self._thread.run(client.resume(self.id, request))

    def _time_left(self, reply: CellReply) -> float:
        return max(self._timeout - reply.execution_time, _LEAST_TIME)

    @contextmanager
    def _kept_alive(self, client: SandboxClient) -> Iterator[None]:
        """The pool ends a suspended cell that nobody gives a sign of life for."""
        renewing = self._thread.start(self._renew(client))
        try:
            yield
        finally:
            renewing.cancel()

    async def _renew(self, client: SandboxClient) -> None:
        while True:
            await asyncio.sleep(self._renewal)
            with contextlib.suppress(SandboxUnavailableError):  # the answer's own request will say what is wrong
                await client.touch([self.id])

    def close(self) -> None:
        """End the session; once is enough. One that cannot be reached ends by the pool's idle timeout."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self._thread.run(self._close())
            finally:
                self._thread.close()

    async def _close(self) -> None:
        if self._client is not None:
            try:
                with contextlib.suppress(SandboxUnavailableError):
                    await self._client.delete(self.id)
            finally:
                await self._client.close()


def describe_end(reply: CellReply) -> str:
    """Why a cell was ended from outside, and what that did to the variables; "" for one that ended by itself."""
    if reply.status in {Status.OK, Status.ERROR}:
        return ""
    reason = reply.error.message if reply.error else reply.status.value
    if reply.session_lost:
        return f"{reply.status}: {reason}; the session and its variables are lost"
    return f"{reply.status}: {reason}" + ("; variables are as they were before it" if reply.rolled_back else "")


def demand_session(reply: CellReply) -> CellReply:
    """The reply, unless the session ended with it: then SessionLostError."""
    if reply.session_lost:
        raise SessionLostError(describe_end(reply))
    return reply


def _refuse(call: HostCall) -> str:
    raise HostCallError(f"nobody answers calls of {call.name} here")


def _join(parts: list[CellReply]) -> CellReply:
    return parts[-1].model_copy(
        update={
            "stdout": "".join(part.stdout for part in parts),
            "stderr": "".join(part.stderr for part in parts),
            "stdout_truncated": any(part.stdout_truncated for part in parts),
            "stderr_truncated": any(part.stderr_truncated for part in parts),
            "events": [event for part in parts for event in part.events],
        }
    )
