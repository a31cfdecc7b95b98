"""The sandbox protocol: every JSON body that the inference plane and the sandbox plane say to each other.

Both planes import this module and nothing else of each other. It holds values only: no I/O, no storage, no limits of a
particular pool. Paths and status codes:

    POST   /execute                          ExecuteRequest  -> CellReply
    POST   /sessions                         SessionRequest  -> SessionReply (201), or 422 `prelude_failed`
    GET    /sessions/{id}                    -> SessionInfo
    DELETE /sessions/{id}                    -> 204, idempotent
    POST   /sessions/{id}/resume             ResumeRequest   -> CellReply
    POST   /sessions/{id}/interrupt          -> CellReply, which the waiting request gets too; 409 `not_running`
    POST   /sessions/{id}/fork               ForkRequest     -> ForkReply (201)
    POST   /sessions/touch                   TouchRequest    -> TouchReply
    PUT    /sessions/{id}/variables/{name}   text/plain (UTF-8) -> str, application/json -> value; VariableReply
    GET    /sessions/{id}/variables/{name}   -> text/plain for a str, application/json for any other JSON value
    GET    /openapi.json                     -> all of this as OpenAPI 3.1, without a key

What guest code does wrong is a field of `CellReply`, never an HTTP error. HTTP errors carry `ErrorBody`.
Sizes are bytes, times are seconds, on the host's clock, unless a field says otherwise.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from runtime.checkpoint_policy import CheckpointPolicy as CheckpointPolicy

SESSION_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
VARIABLE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"

MAX_CELLS: Final = 64
"""Of one request: they share one slot of the pool."""

LOAD_HEADER: Final = "x-sandbox-load"
"""On every reply: `running=2;queued=0;sessions=17;capacity=80` (decimal integers), for load-aware placement."""

REQUEST_ID_HEADER: Final = "x-request-id"


class Status(StrEnum):
    """How a cell ended."""

    OK = "ok"  # ran to its end
    ERROR = "error"  # raised a Python exception; what it had assigned before stays
    TIMEOUT = "timeout"  # ran longer than its timeout and was killed; rolled back
    MEMORY = "memory"  # killed because the pod ran short of memory; rolled back
    CRASHED = "crashed"  # the WASM code trapped, aborted or exited; rolled back
    INTERRUPTED = "interrupted"  # ended from outside: client gone, interrupt, abandoned call; rolled back
    SUSPENDED = "suspended"  # waits in a host call; `call` says which; POST /sessions/{id}/resume goes on


class ErrorCode(StrEnum):
    """Why a request itself was refused; the HTTP status stands beside each."""

    MALFORMED = "malformed"  # 400
    UNAUTHENTICATED = "unauthenticated"  # 401
    NOT_FOUND = "not_found"  # 404 no such path
    SESSION_NOT_FOUND = "session_not_found"  # 404
    SESSION_EXPIRED = "session_expired"  # 404 it existed; idle, too old or evicted
    VARIABLE_NOT_FOUND = "variable_not_found"  # 404
    METHOD_NOT_ALLOWED = "method_not_allowed"  # 405
    SLOW_REQUEST = "slow_request"  # 408
    BUSY = "busy"  # 409 another request runs or the session is suspended
    CALL_MISMATCH = "call_mismatch"  # 409 wrong, repeated or outdated call id
    SEALED = "sealed"  # 409 the session takes variables and forks only
    NOT_RUNNING = "not_running"  # 409 there is no cell to interrupt
    TOO_LARGE = "too_large"  # 413
    PRELUDE_FAILED = "prelude_failed"  # 422 `details` is the CellReply
    LIMIT_EXCEEDED = "limit_exceeded"  # 422 asked for more than the pool allows
    NOT_SERIALISABLE = "not_serialisable"  # 422 the variable has no JSON form
    CAPABILITY_MISSING = "capability_missing"  # 422 this pool's image cannot do it; see Capabilities
    INVALID_VALUE = "invalid_value"  # 422 the body is not what its content type says
    QUEUE_FULL = "queue_full"  # 429 with Retry-After
    QUEUE_TIMEOUT = "queue_timeout"  # 429 with Retry-After
    SESSION_CAP = "session_cap"  # 429 with Retry-After
    MEMORY_FULL = "memory_full"  # 429 with Retry-After
    INTERNAL = "internal"  # 500
    DRAINING = "draining"  # 503 with Retry-After
    NOT_READY = "not_ready"  # 503 with Retry-After


class _Body(BaseModel):
    """A request or reply body; unknown fields are refused in requests and ignored in replies."""

    model_config = ConfigDict(extra="ignore")


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


HostFunctions = Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=64, fail_fast=True)]


class LocalsMode(StrEnum):
    NONE = "none"
    SUMMARY = "summary"  # type and repr of each name
    VALUES = "values"  # also `value` where a value has a JSON form within the cap


class ExecuteRequest(_Request):
    """One cell, or several that run in order until one is not ok; exactly one of `code` and `cells`.

    Without `session_id` they run in a fresh session that is discarded afterwards.
    """

    code: str | None = None
    cells: Annotated[list[str], Field(min_length=1, max_length=MAX_CELLS, fail_fast=True)] | None = None
    session_id: str | None = Field(default=None, pattern=SESSION_ID_PATTERN)
    create: bool = True  # False: an unknown id is 404 `session_not_found`, never a silent empty session
    request_id: str | None = Field(default=None, max_length=128)  # same id as the last reply: that reply again
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # running seconds of each; None = the pool's
    host_functions: HostFunctions | None = None  # names that suspend; fixed when the session is created
    locals: LocalsMode = LocalsMode.SUMMARY
    cacheable: bool = False  # without session and host functions: the same again may be answered by the same reply

    @model_validator(mode="after")
    def _check_cacheable(self) -> Self:
        if self.cacheable and (self.session_id is not None or self.host_functions):
            raise ValueError("cacheable: only without session_id and host_functions; a session's state is no input")
        return self

    @model_validator(mode="after")
    def _check_one_of_code_and_cells(self) -> Self:
        if (self.code is None) == (self.cells is None):
            raise ValueError("give exactly one of code and cells")
        return self


class SessionLimits(_Request):
    """Per session; each must be at most the pool's."""

    memory: int | None = Field(default=None, gt=0)
    output: int | None = Field(default=None, gt=0)


class SessionRequest(_Request):
    """Creates a session. `prelude` runs once; its names are not listed in `locals`."""

    session_id: str | None = Field(default=None, pattern=SESSION_ID_PATTERN)
    prelude: str | None = None
    host_functions: HostFunctions = Field(default_factory=list)
    checkpoint: CheckpointPolicy = CheckpointPolicy.CELL
    seed: int | None = Field(default=None, ge=0, lt=2**64)  # for `random`; None = from the system
    limits: SessionLimits = Field(default_factory=SessionLimits)
    sealed: bool = False  # takes PUT and fork only, never code: what was put in is what every branch begins with

    @model_validator(mode="after")
    def _check_sealed_without_prelude(self) -> Self:
        if self.sealed and self.prelude is not None:
            raise ValueError("a sealed session runs no code, so it has no prelude; run it in the branches")
        return self


class ResumeRequest(_Request):
    """Answers a suspended host call: exactly one of `result` and `error` (raised in the guest as RuntimeError)."""

    call_id: str
    result: str | None = None
    error: str | None = None
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # replaces what is left of the cell's time


class ForkRequest(_Request):
    """Branches an idle or suspended session: the state is copied, the random numbers and a seal are not."""

    session_id: str | None = Field(default=None, pattern=SESSION_ID_PATTERN)  # of the branch; None = made here


class TouchRequest(_Request):
    ids: list[str] = Field(max_length=10_000, fail_fast=True)


class TouchReply(_Body):
    renewed: list[str]
    unknown: list[str]


class Local(_Body):
    """One global name of the session, as it is at the end of the cell."""

    type: str
    repr: str  # capped
    value: Any = None  # present with LocalsMode.VALUES where the value has a JSON form

    @model_serializer(mode="wrap")
    def _leave_out_absent_value(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A value that was not asked for is absent; null is the value None."""
        fields: dict[str, Any] = handler(self)
        if "value" not in self.model_fields_set:
            fields.pop("value", None)
        return fields


class Event(_Body):
    """What guest code gave out by `sandbox.emit(name, payload)`."""

    name: str
    payload: str


class HostCall(_Body):
    """A suspended `sandbox.call(name, payload)`; answer it with `ResumeRequest.call_id = id`."""

    id: str
    name: str
    payload: str


class CellError(_Body):
    type: str  # exception class, or the status for what ended a cell from outside
    message: str
    line: int | None = None  # 1-based line in the cell


class Timing(_Body):
    """Where the time of a request went; for the caller's trace, as the sandbox exports none."""

    queued: float = 0.0  # waited for a slot; of several cells in a request, the first has it
    ran: float = 0.0  # `execution_time`
    forked: float = 0.0  # checkpoint taken since the last reply, when nobody waited


class CellReply(_Body):
    """What one cell did since its last reply (stdout, stderr, events), and over the whole cell (times, memory)."""

    session_id: str
    cell: int  # rises with every cell of the session, also those that were rolled back
    status: Status
    stdout: str = ""
    stderr: str = ""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    result: str | None = None  # repr of a trailing expression
    locals: dict[str, Local] = Field(default_factory=dict)
    events: list[Event] = Field(default_factory=list)
    execution_time: float = 0.0  # running, whatever ended it; suspended does not count
    cpu_time: float = 0.0  # of its process, user and kernel
    memory_bytes: int = 0  # linear memory of the guest when the cell ended: its peak, as it never shrinks
    created: bool = False
    cached: bool = False  # of an earlier run of the same request, whose times these are; `timing` is zero
    rolled_back: bool = False  # the state is as it was after cell `rolled_back_to` (0 = as created)
    rolled_back_to: int | None = None
    session_lost: bool = False  # no checkpoint was left: the session is gone
    timing: Timing = Field(default_factory=Timing)
    error: CellError | None = None
    call: HostCall | None = None
    results: list[CellReply] | None = None  # of a request with `cells`: those that ran in it; this repeats the last


class Capabilities(_Body):
    fork: bool
    rollback: bool
    packages: list[str] = Field(default_factory=list)


class SessionReply(_Body):
    """201 of POST /sessions."""

    session_id: str
    image: str
    capabilities: Capabilities
    prelude: CellReply | None = None


class ForkReply(_Body):
    """201 of a fork. A branch that is suspended has no checkpoint before its cell has ended."""

    session_id: str
    cell: int
    state: Literal["idle", "running", "suspended"]
    call: HostCall | None = None  # in which the branch waits, with an id of its own


class SessionInfo(_Body):
    session_id: str
    state: Literal["idle", "running", "suspended"]
    cell: int
    checkpoint: CheckpointPolicy
    sealed: bool
    idle_seconds: float
    age_seconds: float


class VariableReply(_Body):
    """200 of PUT: what was set."""

    session_id: str
    name: str
    type: str
    length: int | None = None  # len() where the value has one


class ErrorDetail(_Body):
    code: ErrorCode
    message: str
    details: Any = None


class ErrorBody(_Body):
    error: ErrorDetail
