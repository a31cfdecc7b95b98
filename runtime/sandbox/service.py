"""The sandbox service without HTTP: what to do for each request of `runtime.wire`, and how the parts start and end.

`app` translates between HTTP and these methods. Each takes the caller's key name as `owner`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from runtime.audit import open_audit_log
from runtime.sandbox.admission import Admission
from runtime.sandbox.backend import Backend, build_spawner
from runtime.sandbox.cells import Cells
from runtime.sandbox.cpus import cpu_limit
from runtime.sandbox.errors import RequestError
from runtime.sandbox.host_answer import HostAnswer
from runtime.sandbox.images import Image
from runtime.sandbox.ledger import Ledger
from runtime.sandbox.metrics import SandboxMetrics
from runtime.sandbox.preparation import prepare
from runtime.sandbox.registry import Registry
from runtime.sandbox.reply_cache import ReplyCache
from runtime.sandbox.session import Session, State
from runtime.sandbox.settings import SandboxSettings
from runtime.sandbox.spawner import Spawner
from runtime.sandbox.terms import Terms
from runtime.sandbox.turn import Batch
from runtime.sandbox.variable_access import get_variable, put_variable
from runtime.sandbox.variables import IncomingVariable, OutgoingVariable
from runtime.sandbox.weights import Weights
from runtime.wire import (
    Capabilities,
    CellReply,
    CheckpointPolicy,
    ErrorCode,
    ExecuteRequest,
    ForkReply,
    ForkRequest,
    LocalsMode,
    SessionInfo,
    SessionReply,
    SessionRequest,
    Status,
    TouchReply,
    VariableReply,
)

VARIABLE_COPIES: Final = 2  # of what is sent: the memory file here and the value in the guest
DRAIN_POLL_SECONDS: Final = 0.05


class SandboxService:
    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.metrics = SandboxMetrics()
        self.admission = Admission(settings.slots(), settings.max_queue, settings.queue_timeout_seconds)
        self._weights = Weights(cpu_limit())
        self._ledger = Ledger(self.metrics, open_audit_log(is_on=settings.audit_log))
        self._cache = ReplyCache(settings.image, settings.cache_bytes)
        self._cells = Cells(self.admission, self._weights, self._ledger)
        self._terms = Terms(settings)
        self.draining = False
        self._spawner: Spawner | None = None
        self._backend: Backend | None = None
        self._not_ready = "starting"
        self.metrics.queue.set_function(lambda: self.admission.queued)

    # --- life -----------------------------------------------------------------------

    async def start(self) -> None:
        """Compile the guest if it must be, start the zygote and the spares. ProcessError if that cannot be done."""
        settings = self.settings
        image = settings.guest_image
        self._not_ready = f"preparing guest image {image.name}"
        program = await prepare(image, settings.guest_dir)
        self._not_ready = "starting the zygote"
        self._spawner = build_spawner(settings, program)
        await self._spawner.start()
        self._backend = Backend(settings, self._ledger, self._spawner)

    def readiness(self) -> str | None:
        """None when cells can be run, else why not."""
        if self.draining:
            return "draining"
        if self._backend is None:
            return self._not_ready
        return None if self._backend.spawner.is_ready else "the zygote is being started again"

    def missing_measures(self) -> list[str]:
        """Of hardening: what this node or user cannot do."""
        backend = self._backend
        return [] if backend is None else [f"missing: {measure}" for measure in backend.spawner.missing_measures]

    async def drain(self) -> None:
        """No new sessions; running and suspended cells may end until the deadline."""
        self.draining = True
        if self._backend is None:
            return
        registry = self._backend.registry
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_seconds):
                # Cells end in many places; a poll of two counters is simpler than an event set by each of them.
                while registry.count(State.RUNNING) + registry.count(State.SUSPENDED) > 0:  # noqa: ASYNC110
                    await asyncio.sleep(DRAIN_POLL_SECONDS)

    async def close(self) -> None:
        await self._weights.close()
        if self._backend is not None:
            self._backend.close()
        if self._spawner is not None:
            await self._spawner.close()

    def load(self) -> str:
        """The value of the load header."""
        registry = None if self._backend is None else self._backend.registry
        sessions, capacity = (0, 0) if registry is None else (len(registry), registry.cap)
        return (
            f"running={self.admission.running};queued={self.admission.queued};sessions={sessions};capacity={capacity}"
        )

    # --- requests -------------------------------------------------------------------

    async def execute(self, owner: str, request: ExecuteRequest) -> CellReply:
        registry = self._ready().registry
        codes = [request.code or ""] if request.cells is None else request.cells
        batch = Batch(
            tuple(codes), self._terms.seconds(request.timeout), request.locals, many=request.cells is not None
        )
        if request.session_id is None:
            return await self._execute_once(registry, owner, request, batch)
        session, created = await self._find_or_create(registry, owner, request)
        _refuse_if_sealed(session)
        if request.request_id is not None and (repeated := session.repeat_reply(request.request_id)) is not None:
            return repeated
        with registry.claimed(session), _ended_unless_run(registry, session) if created else contextlib.nullcontext():
            reply = await self._cells.run(session, batch)
        reply.created = created
        if request.request_id is not None:
            session.keep_reply(request.request_id, reply)
        return reply

    async def create_session(self, owner: str, request: SessionRequest) -> SessionReply:
        """RequestError `prelude_failed` with the reply if the prelude does not end ok; then there is no session."""
        registry = self._ready().registry
        image = self.settings.guest_image
        if request.sealed:
            _require_fork(image)
        async with self._room_for_session(owner):
            session = await registry.create(owner, request.session_id, self._terms.options(request))
        prelude: CellReply | None = None
        if request.prelude is not None:
            with registry.claimed(session), _ended_unless_run(registry, session):
                batch = Batch((request.prelude,), self.settings.timeout_seconds, LocalsMode.NONE)
                prelude = await self._cells.run(session, batch, prelude=True)
            if prelude.status is not Status.OK:
                registry.end(session)
                raise RequestError(
                    ErrorCode.PRELUDE_FAILED,
                    f"the prelude ended {prelude.status.value}",
                    prelude.model_dump(mode="json"),
                )
        capabilities = Capabilities(fork=image.fork, rollback=image.rollback, packages=list(image.packages))
        return SessionReply(session_id=session.id, image=image.name, capabilities=capabilities, prelude=prelude)

    def describe_session(self, owner: str, session_id: str) -> SessionInfo:
        session = self._ready().registry.get(owner, session_id)
        now = time.monotonic()
        return SessionInfo(
            session_id=session.id,
            state=session.state.value,
            cell=session.cell,
            checkpoint=session.options.checkpoint,
            sealed=session.options.sealed,
            idle_seconds=0.0 if session.state is State.RUNNING else now - session.used_at,
            age_seconds=now - session.created_at,
        )

    def delete_session(self, owner: str, session_id: str) -> None:
        registry = self._ready().registry
        session = registry.find(owner, session_id)
        if session is not None:
            registry.end(session)

    async def resume(
        self, owner: str, session_id: str, call_id: str, answer: HostAnswer, asked_seconds: float | None
    ) -> CellReply:
        registry = self._ready().registry
        session = registry.get(owner, session_id)
        session.check_call(call_id)
        seconds = None if asked_seconds is None else self._terms.seconds(asked_seconds)
        with registry.claimed(session, suspended=True):
            reply = await self._cells.resume(session, answer, seconds)
        if session.one_shot and reply.status is not Status.SUSPENDED:
            registry.end(session)
        return reply

    async def interrupt(self, owner: str, session_id: str) -> CellReply:
        """End the cell that runs, waits for its turn or is suspended; the state before it comes back."""
        registry = self._ready().registry
        session = registry.get(owner, session_id)
        reply = await self._cells.interrupt(session)
        registry.discard_if_lost(session)
        return reply

    async def fork(self, owner: str, session_id: str, request: ForkRequest) -> ForkReply:
        """Branch an idle or suspended session."""
        registry = self._ready().registry
        source = registry.get(owner, session_id)
        _require_fork(self.settings.guest_image)
        with registry.claimed(source, suspended=source.state is State.SUSPENDED):
            async with self._room_for_session(owner), self.admission.slot(owner):
                branch, call = await registry.fork(source, request.session_id)
        return ForkReply(session_id=branch.id, cell=branch.cell, state=branch.state.value, call=call)

    def touch(self, owner: str, ids: list[str]) -> TouchReply:
        registry = self._ready().registry
        renewed, unknown = [], []
        for session_id in ids:
            session = registry.find(owner, session_id)
            if session is None:
                unknown.append(session_id)
            else:
                session.touch()
                renewed.append(session_id)
        return TouchReply(renewed=renewed, unknown=unknown)

    async def put_variable(
        self,
        owner: str,
        session_id: str,
        name: str,
        length: int,
        receive: Callable[[], Awaitable[IncomingVariable]],
    ) -> VariableReply:
        """`receive` reads the variable, of about `length` bytes; the session is held meanwhile, so that it is not
        ended to make room for just that."""
        registry = self._ready().registry
        session = registry.get(owner, session_id)
        with registry.claimed(session), self._ledger.variable("variable_set", session, name) as moved:
            async with self._ready().guard.room(owner, VARIABLE_COPIES * length):
                variable = await receive()
                moved.bytes = variable.received
                try:
                    async with self.admission.slot(owner):
                        with self._ledger.work(session, moved):
                            return await put_variable(session, name, variable)
                finally:
                    variable.close()

    async def get_variable(self, owner: str, session_id: str, name: str) -> OutgoingVariable:
        registry = self._ready().registry
        session = registry.get(owner, session_id)
        _refuse_if_sealed(session)
        with registry.claimed(session), self._ledger.variable("variable_read", session, name) as moved:
            async with self.admission.slot(owner):
                with self._ledger.work(session, moved):
                    found = await get_variable(session, name, self.settings.variable_bytes)
            moved.bytes = len(found.data)
            return found

    # --- parts ----------------------------------------------------------------------

    def _ready(self) -> Backend:
        if self._backend is None:
            raise RequestError(ErrorCode.NOT_READY, f"the service is {self._not_ready}; try again in a moment")
        return self._backend

    @contextlib.asynccontextmanager
    async def _room_for_session(self, owner: str) -> AsyncIterator[None]:
        """503 when draining, 429 when there is no memory for another session."""
        if self.draining:
            raise RequestError(ErrorCode.DRAINING, "this server is stopping; ask another one")
        async with self._ready().guard.room(owner, self.settings.guest_image.session_memory):
            yield

    async def _execute_once(self, registry: Registry, owner: str, request: ExecuteRequest, batch: Batch) -> CellReply:
        options = self._terms.bare_options(request.host_functions, CheckpointPolicy.OFF)
        if request.cacheable:
            found = self._cache.find(owner, batch, options)
            if found is not None:
                self._ledger.cache_hit(owner, batch.codes)
                return found
        async with self._room_for_session(owner):
            session = await registry.create(owner, None, options, one_shot=True)
        with registry.claimed(session), _ended_unless_run(registry, session):
            reply = await self._cells.run(session, batch)
        if reply.status is not Status.SUSPENDED:
            registry.end(session)
        if request.cacheable:
            self._cache.keep(owner, batch, options, reply)
        reply.created = True
        return reply

    async def _find_or_create(self, registry: Registry, owner: str, request: ExecuteRequest) -> tuple[Session, bool]:
        session_id = request.session_id or ""
        session = registry.find(owner, session_id)
        if session is not None:
            return session, False
        if not request.create:
            return registry.get(owner, session_id), False
        options = self._terms.bare_options(request.host_functions, CheckpointPolicy.CELL)
        async with self._room_for_session(owner):
            return await registry.create(owner, session_id, options), True


def _refuse_if_sealed(session: Session) -> None:
    if session.options.sealed:
        raise RequestError(ErrorCode.SEALED, f"session {session.id} is sealed; fork it and use the branch")


def _require_fork(image: Image) -> None:
    if not image.fork:
        raise RequestError(
            ErrorCode.CAPABILITY_MISSING, f"sessions of image {image.name} can be neither forked nor sealed"
        )


@contextlib.contextmanager
def _ended_unless_run(registry: Registry, session: Session) -> Iterator[None]:
    """A session that was made for a request is not left behind when the request is refused or its client goes away."""
    try:
        yield
    except BaseException:
        registry.end(session)
        raise
