"""Every way in which a request or a run can fail, with what the caller is told.

    InferenceError
    ├── RequestError                 the caller's doing; nothing was run
    │   ├── InvalidRequestError      400 invalid_request
    │   ├── UnauthenticatedError     401 invalid_api_key
    │   ├── NotFoundError            404 not_found
    │   │   ├── ModelNotFoundError   404 model_not_found
    │   │   ├── FileNotFoundHereError  404 file_not_found, or owner_lost: another process has or had it
    │   │   └── RunNotFoundError     404 run_not_found, or owner_lost
    │   ├── RunElsewhereError        409 run_elsewhere: another process that shares the storage has it
    │   ├── MethodNotAllowedError    405 method_not_allowed
    │   ├── SlowBodyError            408 request_timeout: the body stopped coming
    │   ├── TooLargeError            413 too_large
    │   ├── StorageFullError         413 storage_full
    │   ├── UnsupportedEncodingError  415 unsupported_encoding
    │   ├── MalformedError           400, 415 or 431 malformed_request: no HTTP request that can be read
    │   └── RateLimitedError         429 rate_limit_exceeded
    ├── RunError                     the run ended without an answer
    │   ├── BudgetError              422 max_iterations | max_subcalls | max_tokens | max_cost |
    │   │                            max_consecutive_errors, 504 timeout; not worth a retry
    │   ├── RunCancelledError        409 cancelled: by its caller, who asked for that or went away
    │   ├── ContextTooLargeError     413 context_too_large: the sandbox cannot hold the context
    │   ├── AnswerTooLargeError      422 answer_too_large
    │   ├── SandboxUnavailableError  503 sandbox_unavailable: never an answer in its place
    │   │   ├── SandboxBusyError     it had no room for as long as the client was ready to wait
    │   │   ├── SandboxUnreachableError  a server cannot be reached, or went away before it answered
    │   │   ├── SessionLostError     the session is not there any more
    │   │   │   └── CopyLostError    nor can be made again as it was: it was a copy of another
    │   │   └── SandboxRefusedError  it said no for another reason; `refusal` says which
    │   └── ModelError               502 model_error
    ├── StorageUnavailableError      503 storage_unavailable
    ├── OwnerUnreachableError        503 owner_unreachable: another replica has it, and does not answer
    │   └── OwnerGoneError           nothing listens there any more; told as 404 owner_lost
    ├── BusyError                    503 busy: too many large requests are being read
    └── DrainingError                503 draining

Foreign errors become these at one seam each: `llm.py` for the openai SDK, `sandbox_http.py` for the sandbox,
`storage.py` for obstore, `peers/peer_http.py` for other replicas, `envelope.py` for aiohttp's own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from runtime.redaction import redact
from runtime.wire import ErrorCode


class InferenceError(Exception):
    """Base. `status` is HTTP's, `type` and `code` OpenAI's; `retry` is said as x-should-retry when not None. What looks
    like a secret does not stay in the message, since callers, logs and trajectories get it."""

    status: int = 500
    type: str = "server_error"
    code: str = "internal"
    retry: bool | None = None
    retry_after: int | None = None  # seconds

    def __init__(self, message: str) -> None:
        self.message = redact(message)
        super().__init__(self.message)


class RequestError(InferenceError):
    """`param` names the field of the request, where there is one. `hang_up`: the rest of its body is not waited for."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    hang_up: bool = False

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidRequestError(RequestError):
    pass


class UnauthenticatedError(RequestError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class NotFoundError(RequestError):
    status = 404
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    code = "model_not_found"


class FileNotFoundHereError(NotFoundError):
    """`is_elsewhere`: its id is from a storage that this process does not share."""

    def __init__(self, message: str, *, is_elsewhere: bool = False) -> None:
        super().__init__(message, "file_id")
        self.code = "owner_lost" if is_elsewhere else "file_not_found"


class RunNotFoundError(NotFoundError):
    """`is_elsewhere`: its id is from a storage that this process does not share."""

    def __init__(self, message: str, param: str | None = None, *, is_elsewhere: bool = False) -> None:
        super().__init__(message, param)
        self.code = "owner_lost" if is_elsewhere else "run_not_found"

    def about(self, param: str) -> RunNotFoundError:
        """The same, of the run that this field of the request names."""
        return RunNotFoundError(self.message, param, is_elsewhere=self.code == "owner_lost")


class RunElsewhereError(RequestError):
    status = 409
    code = "run_elsewhere"


class MethodNotAllowedError(RequestError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allowed: frozenset[str]) -> None:
        super().__init__(message)
        self.allowed = allowed


class SlowBodyError(RequestError):
    status = 408
    code = "request_timeout"
    hang_up = True


class TooLargeError(RequestError):
    status = 413
    code = "too_large"

    def __init__(self, message: str, *, hang_up: bool = False) -> None:
        super().__init__(message)
        self.hang_up = hang_up


class StorageFullError(RequestError):
    status = 413
    code = "storage_full"


class UnsupportedEncodingError(RequestError):
    """`known` are the values of Content-Encoding that are read."""

    status = 415
    code = "unsupported_encoding"
    known: ClassVar[frozenset[str]] = frozenset({"deflate", "gzip"})

    def __init__(self) -> None:
        super().__init__(
            "the body's Content-Encoding is not read here; send it as it is, or as one of "
            f"{', '.join(sorted(self.known))}"
        )


class MalformedError(RequestError):
    code = "malformed_request"

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class RateLimitedError(RequestError):
    """`of` is what the key has too much of, OpenAI's `type`; `after` the seconds until a retry is worth it."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, of: str, after: int) -> None:
        super().__init__(message)
        self.type = of
        self.retry_after = after


class StorageUnavailableError(InferenceError):
    status = 503
    code = "storage_unavailable"
    retry_after = 5


class OwnerUnreachableError(InferenceError):
    status = 503
    code = "owner_unreachable"
    retry_after = 2


class OwnerGoneError(OwnerUnreachableError):
    pass


class RunError(InferenceError):
    pass


class BudgetReason(StrEnum):
    """Which of a run's budgets ended it."""

    ITERATIONS = "max_iterations"  # only when the answer had to have a form that it never got
    SUBCALLS = "max_subcalls"
    TOKENS = "max_tokens"
    COST = "max_cost"
    TIMEOUT = "timeout"
    CONSECUTIVE_ERRORS = "max_consecutive_errors"


class BudgetError(RunError):
    """One of the run's budgets is used up. A retry would cost the same again, so the caller is told not to."""

    type = "budget_error"
    retry = False

    def __init__(self, reason: BudgetReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = reason.value
        self.partial_answer: str | None = None

    @property
    def http_status(self) -> int:
        return 504 if self.reason is BudgetReason.TIMEOUT else 422


class RunCancelledError(RunError):
    status = 409
    code = "cancelled"
    retry = False


class ContextTooLargeError(RunError):
    status = 413
    type = "invalid_request_error"
    code = "context_too_large"


class AnswerTooLargeError(RunError):
    status = 422
    code = "answer_too_large"
    retry = False


class SandboxUnavailableError(RunError):
    status = 503
    code = "sandbox_unavailable"
    retry_after = 5


class SandboxBusyError(SandboxUnavailableError):
    """429, or 503 with Retry-After. `wait` is what it asked for, seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class SandboxUnreachableError(SandboxUnavailableError):
    pass


class SessionLostError(SandboxUnavailableError):
    pass


class CopyLostError(SessionLostError):
    pass


class SandboxRefusedError(SandboxUnavailableError):
    """`details` is what the protocol says for `refusal`, such as the prelude's reply."""

    def __init__(self, message: str, refusal: ErrorCode, details: object = None) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.details = details


class ModelError(RunError):
    """The root model's endpoint failed after the SDK's retries. `retry` is False where the configuration is wrong."""

    status = 502
    code = "model_error"

    def __init__(self, message: str, retry: bool | None = None) -> None:
        super().__init__(message)
        self.retry = retry


class BusyError(InferenceError):
    """Nothing was run; a moment later there is room."""

    status = 503
    code = "busy"
    retry_after = 1


class DrainingError(InferenceError):
    status = 503
    code = "draining"
    retry_after = 1
