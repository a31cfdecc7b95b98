"""Errors of the sandbox service.

    SandboxError
    ├── RequestError     the caller asked for what cannot be: becomes an HTTP error with a code of runtime.wire
    └── ProcessError     a process of ours could not be started; the service is not ready until it can

What guest code does is never an exception here, it is data in a CellReply.
"""

from __future__ import annotations

from typing import Any, Final

from runtime.wire import ErrorCode

STATUS: Final[dict[ErrorCode, int]] = {
    ErrorCode.MALFORMED: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.SESSION_NOT_FOUND: 404,
    ErrorCode.SESSION_EXPIRED: 404,
    ErrorCode.VARIABLE_NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.SLOW_REQUEST: 408,
    ErrorCode.BUSY: 409,
    ErrorCode.CALL_MISMATCH: 409,
    ErrorCode.SEALED: 409,
    ErrorCode.NOT_RUNNING: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.PRELUDE_FAILED: 422,
    ErrorCode.LIMIT_EXCEEDED: 422,
    ErrorCode.NOT_SERIALISABLE: 422,
    ErrorCode.CAPABILITY_MISSING: 422,
    ErrorCode.INVALID_VALUE: 422,
    ErrorCode.QUEUE_FULL: 429,
    ErrorCode.QUEUE_TIMEOUT: 429,
    ErrorCode.SESSION_CAP: 429,
    ErrorCode.MEMORY_FULL: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.DRAINING: 503,
    ErrorCode.NOT_READY: 503,
}

RETRY_AFTER_SECONDS: Final = 1


class SandboxError(Exception):
    """Base of the tree."""


class RequestError(SandboxError):
    """Refused; `message` says what was wrong and what to do."""

    def __init__(self, code: ErrorCode, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def status(self) -> int:
        return STATUS[self.code]

    @property
    def retry_after(self) -> int | None:
        """Seconds for a Retry-After header where trying again helps."""
        return RETRY_AFTER_SECONDS if self.status in (429, 503) else None


class ProcessError(SandboxError):
    """A zygote or session process did not come up."""
