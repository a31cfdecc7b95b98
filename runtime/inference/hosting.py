"""The runs of this process: which there are, which of them a repeated request joins, what becomes of them at the end.

The HTTP handlers start runs here and attend them. A retry joins the run that it repeats, so that it is not paid twice.
A run that has ended stays here until it is stored.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from runtime.inference.admission import Admission
from runtime.inference.budget import Limits
from runtime.inference.caller import Caller
from runtime.inference.engine import Engine
from runtime.inference.errors import DrainingError, StorageUnavailableError
from runtime.inference.question import Question
from runtime.inference.run_archive import RunArchive
from runtime.inference.run_handle import NOTHING, Origin, RunHandle
from runtime.inference.run_keeper import HELD, RunKeeper


@dataclass(frozen=True)
class RequestIdentity:
    """When two requests are the same one: the key's name, and the caller's idempotency key or the body's hash."""

    key_name: str
    token: str


class Hosting:
    """Owned by the application."""

    def __init__(self, engine: Engine, archive: RunArchive, keeper: RunKeeper, admission: Admission) -> None:
        self._engine = engine
        self._archive = archive
        self._keeper = keeper
        self._admission = admission
        self._handles: dict[str, RunHandle] = {}
        self._joinable: dict[RequestIdentity, RunHandle] = {}
        self._draining = False

    def start(self, question: Question, limits: Limits, caller: Caller, origin: Origin = NOTHING) -> RunHandle:
        """Begin a run. Attend it at once, or let it go on: it waits before its first model call.

        Raises DrainingError, and RateLimitedError for a key that has as many as it may."""
        if self._draining:
            raise DrainingError("the service is shutting down; ask again")
        self._admission.begin_run(caller.key_name)
        handle = RunHandle(self._engine, question, limits, caller, self._archive.new_id(), origin)
        self._handles[handle.id] = handle
        handle.task.add_done_callback(lambda _: self._admission.end_run(caller.key_name))
        self._keeper.keep(handle, lambda: self._forget(handle))
        return handle

    async def leave_alone(self, handle: RunHandle) -> None:
        """Let the run go on with nobody attending, once it can be found again also after a crash.

        Raises StorageUnavailableError: it was cancelled."""
        handle.go_on()
        try:
            await self._keeper.recorded(handle)
        except StorageUnavailableError:
            await handle.cancel()
            raise

    async def settle(self, handle: RunHandle) -> None:
        """Of a run that has ended: until it is stored, or gone if it is not to be."""
        await self._keeper.settle(handle)

    def handles(self, owner: str | None) -> list[RunHandle]:
        """Runs that are not stored yet, of one key or (None) of all."""
        return [handle for handle in self._handles.values() if owner in {None, handle.record.key_name}]

    def find(self, owner: str | None, run_id: str) -> RunHandle | None:
        handle = self._handles.get(run_id)
        return handle if handle is not None and owner in {None, handle.record.key_name} else None

    def offer(self, identity: RequestIdentity, handle: RunHandle) -> None:
        """Let a repeat of this request join the run, until HELD seconds after its end."""
        self._joinable[identity] = handle

        def forget() -> None:
            if self._joinable.get(identity) is handle:
                del self._joinable[identity]

        loop = asyncio.get_running_loop()
        handle.task.add_done_callback(lambda _: loop.call_later(HELD, forget))

    def join(self, identity: RequestIdentity) -> RunHandle | None:
        """The run that this request repeats, to attend it."""
        handle = self.joinable(identity)
        if handle is not None:
            self._engine.audit.run_joined(identity.key_name, handle.id)
        return handle

    def joinable(self, identity: RequestIdentity) -> RunHandle | None:
        """One that was given up or failed is not joined: a repeat tries anew."""
        handle = self._joinable.get(identity)
        if handle is None or handle.task.cancelled() or handle.task.cancelling():
            return None
        return None if handle.task.done() and handle.task.exception() is not None else handle

    async def drain(self, seconds: float) -> None:
        """No new runs; those under way get `seconds` to finish, then they are cancelled. What ended is stored."""
        self._draining = True
        active = [handle for handle in self._handles.values() if not handle.task.done()]
        if active:
            await asyncio.wait({handle.task for handle in active}, timeout=seconds)
            reason = DrainingError("the service is shutting down; ask again")
            await asyncio.gather(*(handle.cancel(reason) for handle in active))
        await self._keeper.close()

    def _forget(self, handle: RunHandle) -> None:
        del self._handles[handle.id]

    @property
    def draining(self) -> bool:
        return self._draining
